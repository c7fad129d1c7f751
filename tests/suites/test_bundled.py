"""Every bundled suite is read as it stands, and the table of them says what is there."""

import re
from pathlib import Path

import pytest

from agentbench.suite.suite import load_suite

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_table_of_bundled_suites_has_each_with_its_number_of_cases() -> None:
    table = (ROOT / "docs" / "bundled-suites.md").read_text(encoding="utf-8").split("\n## ")[0]
    told = {name: int(cases.replace(",", "")) for name, cases in re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", table, re.M)}
    there = {path.parent.name: len(load_suite(path).cases) for path in (ROOT / "suites").glob("*/suite.yaml")}
    assert told == there
