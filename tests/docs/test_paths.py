"""The files of the repository that a page names are there, and the site has a way to each page."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMED = re.compile(r"`((?:agentbench|serving|tuners|tests|docs|results/benchmarks)/[\w./-]+\.(?:py|md|txt|yml|cpp))`")
EXAMPLES = {"tests/test_my_scorers.py", "tests/test_my_agents.py", "tests/test_my_servers.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_named_file_is_there(page: Path) -> None:
    named = set(NAMED.findall(page.read_text(encoding="utf-8"))) - EXAMPLES
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_the_site_has_a_way_to_each_page() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [*PAGES, *(ROOT / "results" / "benchmarks").rglob("*.md")]
    names = [page.relative_to(ROOT).as_posix() for page in pages]
    assert [name for name in names if f": {name}\n" not in site] == []
