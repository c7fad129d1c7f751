"""The tutorial's files make a suite and a study that are read without a mistake."""

import subprocess
import sys
from pathlib import Path

import pytest

from agentbench.suite.suite import load_suite
from tests.docs.pages import blocks
from tuners.study.study import make_study

PAGE = "tutorial.md"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    agent, cases = blocks(PAGE, "python")
    suite, study = blocks(PAGE, "yaml")
    (tmp_path / "shop.py").write_text(agent)
    (tmp_path / "make_cases.py").write_text(cases)
    (tmp_path / "suite.yaml").write_text(suite)
    (tmp_path / "study.yaml").write_text(study)
    subprocess.run([sys.executable, tmp_path / "make_cases.py"], check=True, timeout=60)
    return tmp_path


def test_the_suite_has_the_cases_that_the_page_counts(orders: Path) -> None:
    suite = load_suite(orders, {"backend": "scripted"})
    assert len(suite.cases) == 32
    lower = [case.id for case in suite.cases if str(case.messages[-1]["content"]).islower()]
    assert len(lower) == 8
    assert all(name.endswith("-3") for name in lower)


def test_the_study_is_one(orders: Path) -> None:
    study = make_study(orders / "study.yaml", {"baseline.backend": "scripted"})
    assert study.name == "orders"
