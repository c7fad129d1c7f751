"""What `--quick` leaves out is read from the tests' code."""

import subprocess
import sys
from pathlib import Path

from tests.quick import imports_heavy, starts_process

TESTS = Path(__file__).parent


def starts() -> None:
    subprocess.run([sys.executable, "--version"], check=True)


def starts_through_another() -> None:
    starts()


def opens_a_browser() -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright():
        pass


def test_a_file_that_imports_pytorch_somewhere_below_is_known_before_it_is_imported() -> None:
    assert imports_heavy(TESTS / "serving/test_real_model.py")
    assert imports_heavy(TESTS / "serving/engine/test_engine.py")
    assert not imports_heavy(TESTS / "stats/test_power.py")


def test_a_process_that_a_test_starts_is_seen_through_the_tests_own_functions() -> None:
    assert starts_process(starts)
    assert starts_process(starts_through_another)
    assert starts_process(opens_a_browser)
    assert not starts_process(test_a_file_that_imports_pytorch_somewhere_below_is_known_before_it_is_imported)
