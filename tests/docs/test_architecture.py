"""The folder map of docs/architecture.md has every folder of the three packages, and no other."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

PACKAGES = ("agentbench", "serving", "tuners")


def mapped() -> list[str]:
    """The folders of the map, each with those that its indentation puts it under."""
    found: list[str] = []
    stack: list[str] = []
    for line in blocks("architecture.md", "text")[0].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        stack[depth:] = [line.split("/")[0].strip()]
        found.append("/".join(stack))
    return found


def folders() -> set[str]:
    inside = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_dir())
    names = {path.relative_to(ROOT).as_posix() for path in inside if any(map(Path.is_file, path.iterdir()))}
    return {*PACKAGES, *(name for name in names if "__pycache__" not in name)}


def test_every_folder_is_in_the_map() -> None:
    assert sorted(folders() - set(mapped())) == []


def test_every_line_of_the_map_is_a_folder() -> None:
    assert sorted(set(mapped()) - folders()) == []
    assert len(mapped()) == len(set(mapped()))


def test_every_file_that_the_page_names_is_there() -> None:
    """Where a package's life of something names a module, as `run/runner.py`, it is in one of the packages."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    missing = [name for name in named if not any((ROOT / place / name).is_file() for place in ("", *PACKAGES))]
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_has_each_name_of_a_front_door(package: str) -> None:
    page = (ROOT / "docs" / "api" / f"{package}.md").read_text(encoding="utf-8")
    documented = re.findall(rf"^::: {package}\.(\w+)$", page, re.MULTILINE)
    assert sorted(documented) == sorted(set(import_module(package).__all__) - {"__version__"})
