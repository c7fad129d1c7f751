"""What attempts are made of beside the cases: their suite's scorers and tools, and the files that these and the
configuration name. A run or a study that goes on with other parts would mix two things in one figure."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentbench.suite.config import as_mapping, canonical_hash
from agentbench.suite.suite import Suite

LARGE = 1_000_000
"""A file of more bytes (a model) is known by its size and time instead of its content."""

LONGEST = 1000
"""A longer text names no file."""

MadeOf = Mapping[str, str]
"""Name of a part (`scorers`, `agent`, or a file's path) to its hash."""


class NamedFiles:
    """The files that texts of a configuration name, from the suite's directory, each read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, MadeOf] = {}

    def of(self, value: Any) -> MadeOf:
        """Path to hash."""
        found: dict[str, str] = {}
        for text in _texts(value):
            if text not in self._known:
                self._known[text] = {str(path): _digest(path) for path in _files(text, self._root)}
            found.update(self._known[text])
        return found


def run_made_of(suite: Suite) -> MadeOf:
    """Of a run: what decides with its configuration what is answered and how that is graded."""
    parts = graded_by(suite)
    files = NamedFiles(suite.root).of([as_mapping(suite.config), parts])
    return {**{name: canonical_hash(part) for name, part in parts.items()}, **files}


def graded_by(suite: Suite) -> dict[str, Any]:
    """What a suite's file says of scorers, tools and the user."""
    return {**suite.written, "passed_by": list(suite.passed_by)}


def changed(before: MadeOf, now: MadeOf) -> list[str]:
    """The parts that are not what they were; new ones are no change."""
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
    """The file that a text names: by its path, from the suite's directory or from here, or as `module:function`."""
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
    """Of a module that is no installed package's: those change with the environment, which runs record."""
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
