"""What `--quick` leaves out is read from the tests' code."""

import subprocess
import sys
from pathlib import Path

import pytest

from agentbench.testing import StoreContract
from agentbench.tools.browser import BrowserSource
from tests.quick import imports_heavy, is_quick, starts_process

TESTS = Path(__file__).parent


def starts() -> None:
    subprocess.run([sys.executable, "--version"], check=True)


def starts_through_another() -> None:
    starts()


def opens_a_browser() -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright():
        pass


def opens_a_suites_browser(source: BrowserSource) -> None:
    assert isinstance(source, BrowserSource)


def test_a_file_that_imports_pytorch_somewhere_below_is_known_before_it_is_imported() -> None:
    assert imports_heavy(TESTS / "serving/test_real_model.py")
    assert imports_heavy(TESTS / "serving/engine/test_engine.py")
    assert not imports_heavy(TESTS / "stats/test_power.py")


def test_a_process_that_a_test_starts_is_seen_through_the_tests_own_functions() -> None:
    assert starts_process(starts)
    assert starts_process(starts_through_another)
    assert starts_process(opens_a_browser)
    assert starts_process(opens_a_suites_browser)
    assert starts_process(StoreContract.test_a_killed_writer_leaves_only_complete_attempts)
    assert not starts_process(StoreContract.test_a_run_is_created_once)
    assert not starts_process(test_a_file_that_imports_pytorch_somewhere_below_is_known_before_it_is_imported)


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_sampler_that_imports_pytorch_is_seen_in_the_parameters(sampler: str, request: pytest.FixtureRequest) -> None:
    assert is_quick(request.node) == (sampler != "gp")
