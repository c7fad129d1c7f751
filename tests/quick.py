"""`--quick`: only what needs no PyTorch, no model, no database server, no browser, no whole study, no process.

What a test needs is read from its code, so that a new one is quick or not without being listed anywhere: the packages
that its file imports, by itself or through other files of this repository, are known before it is imported; the
fixtures and functions of the tests that it comes to, once it is collected. A test that computes for half a second is
marked `long`.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = frozenset({"agentbench", "serving", "tests", "tuners"})
HEAVY = frozenset({"torch", "transformers", "ray", "playwright", "axe_playwright_python", "mcp"})
"""Packages that take seconds to import, or stand for a browser or a server."""
SERVERS = frozenset({"postgresql_server", "model_path", "browser", "pytester", "tiny", "index", "study", "tuned_once"})
"""Fixtures that are a database server, the default model, a browser, a session of pytest, an index that pip asks, a
study that is run from its first candidate to its page."""
SAMPLERS = frozenset({"gp"})
"""Values of a test's parameters that name what needs PyTorch: optuna's Gaussian processes."""
MARKS = frozenset({"slow", "long", "model", "postgres", "framework"})
PROCESSES = frozenset({"subprocess", "multiprocessing", "tests.store.cluster", "agentbench.tools.browser"})
"""Modules whose use in a test starts a process. What else the product starts counts for nothing: it is seldom."""
CONTRACTS = ("agentbench.testing", "serving.testing", "tuners.testing")
"""Tests that are part of the product."""
STARTS = frozenset({"runpytest_subprocess", "create_subprocess_exec", "create_subprocess_shell"})
_IMPORT = re.compile(r"^(?:from ([\w.]+) import (\([^)]*\)|.*)|import ([\w.]+))", re.MULTILINE)

Function = Callable[..., Any]


def imports_heavy(file: Path) -> bool:
    """Whether collecting a test file imports one of the heavy packages."""
    found, todo = set[Path](), [file]
    while todo:
        each = todo.pop()
        found.add(each)
        names = _imported(each)
        if not HEAVY.isdisjoint(names):
            return True
        todo += [path for name in names if (path := _file_of(name)) is not None and path not in found]
    return False


@cache
def _imported(file: Path) -> frozenset[str]:
    """The modules that a file imports at its top, and their packages."""
    return frozenset(name for match in _IMPORT.finditer(file.read_text()) for name in _names(match))


def _names(match: re.Match[str]) -> Iterator[str]:
    module = match[1] or match[3]
    parts = module.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    yield from (f"{module}.{name}" for name in re.findall(r"\w+", match[2] or ""))


@cache
def _file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    if module.partition(".")[0] not in PACKAGES:
        return None
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)


def is_quick(item: pytest.Item) -> bool:
    """Whether a collected test has none of the marks and fixtures, and starts no process."""
    fixtures = getattr(item, "fixturenames", ())
    if any(item.get_closest_marker(mark) for mark in MARKS) or not SERVERS.isdisjoint(fixtures):
        return False
    parameters = item.callspec.params.values() if isinstance(item, pytest.Function) and "callspec" in vars(item) else ()
    if any(isinstance(value, str) and value in SAMPLERS for value in parameters):
        return False
    definitions = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    functions = [definitions[name][-1].func for name in fixtures if name in definitions]
    return not any(starts_process(each) for each in (*functions, getattr(item, "obj", None)) if each is not None)


@cache
def starts_process(function: Function) -> bool:
    """Whether its code names what starts a process, imports what takes seconds, or names a function or class of the
    tests that does."""
    seen, todo = set[Function](), [function]
    while todo:
        each = todo.pop()
        each = inspect.unwrap(getattr(each, "__func__", each))
        if each in seen or not inspect.isfunction(each):
            continue
        seen.add(each)
        names = set(_code_names(each.__code__))
        found = [each.__globals__[name] for name in names & each.__globals__.keys()]
        packages = {name.partition(".")[0] for name in names}
        if (
            not names.isdisjoint(STARTS)
            or not packages.isdisjoint(HEAVY)
            or any(_module(value) in PROCESSES for value in found)
        ):
            return True
        todo += [function for value in found for function in _functions(value)]
    return False


def _code_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_names(constant)


def _module(value: object) -> str | None:
    return value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)


def _functions(value: Any) -> Iterator[Function]:
    if not (_module(value) or "").startswith(("tests", *CONTRACTS)):
        return
    if inspect.isclass(value):
        yield from (each for each in vars(value).values() if inspect.isfunction(each))
    elif callable(value):
        yield value
