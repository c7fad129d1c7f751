"""Hashes of everything beside the cases that decides a run's answers and scores: scorers, tools, and the files that
they and the configuration name.

A run or a study that continued with changed parts would mix two setups in one figure.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentbench.suite.config import as_mapping, canonical_hash
from agentbench.suite.suite import Suite

LARGE = 1_000_000
"""A larger file (a model) is identified by its size and time instead of its content."""

LONGEST = 1000
"""A longer text is not tried as a file name."""

PartHashes = Mapping[str, str]
"""Name of a part (`scorers`, `agent`, or a file's path) to its hash."""


class NamedFiles:
    """The files that a configuration's texts name, relative to the suite's directory; each is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._hashes: dict[str, PartHashes] = {}

    def of(self, value: Any) -> PartHashes:
        """Maps each path in `value` to its hash."""
        found: dict[str, str] = {}
        for text in _texts(value):
            if text not in self._hashes:
                self._hashes[text] = {str(path): _digest(path) for path in _files(text, self._root)}
            found.update(self._hashes[text])
        return found


def part_hashes(suite: Suite) -> PartHashes:
    """The parts that, with its configuration, decide a run's answers and their grading."""
    parts = graded_by(suite)
    files = NamedFiles(suite.root).of([as_mapping(suite.config), parts])
    return {**{name: canonical_hash(part) for name, part in parts.items()}, **files}


def graded_by(suite: Suite) -> dict[str, Any]:
    """The scorers, tools and user as the suite's file writes them."""
    return {**suite.written, "passed_by": list(suite.passed_by)}


def changed(before: PartHashes, now: PartHashes) -> list[str]:
    """The parts whose hash changed; a new part is no change."""
    return [name for name in before if before[name] != now.get(name)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _files(text: str, root: Path) -> Iterator[Path]:
    """The file that a text names: as a path from the suite's or the current directory, or as `module:function`."""
    if len(text) > LONGEST or "\n" in text or "\0" in text:
        return
    name, separator, _ = text.partition(":")
    for path in (root / text, Path(text), *((root / name, Path(name)) if separator else ())):
        if path.is_file():
            yield path.resolve()
            return
    if separator and all(part.isidentifier() for part in name.split(".")):
        yield from _module_file(name)


def _module_file(name: str) -> Iterator[Path]:
    """The file of a module outside installed packages; these belong to the environment, which runs record."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return
    path = Path(found.origin) if found is not None and found.origin else None
    if (
        path is not None
        and path.is_file()
        and not path.is_relative_to(sys.prefix)
        and "site-packages" not in path.parts
    ):
        yield path.resolve()


def _digest(path: Path) -> str:
    facts = path.stat()
    if facts.st_size > LARGE:
        return f"{facts.st_size} bytes of {facts.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
