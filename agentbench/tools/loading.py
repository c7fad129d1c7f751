"""Finds the tools that a suite names: `module:function`, or `file.py:function` beside the suite."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from agentbench.errors import UserError
from agentbench.tools.function import FunctionTool


def load_tools(references: Sequence[str], root: Path) -> tuple[FunctionTool, ...]:
    """The tools in order; `UserError` names the reference that is wrong. `root` is the suite's directory.

    A file is run once, however many of its functions are named, and again when tools are loaded again.
    """
    files: dict[Path, ModuleType] = {}
    tools = tuple(_load(reference, root, files) for reference in references)
    names = [tool.spec.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"tools: two are named {name!r}: {', '.join(references)}")
    return tools


def _load(reference: str, root: Path, files: dict[Path, ModuleType]) -> FunctionTool:
    place, _, name = reference.rpartition(":")
    is_file = place.endswith(".py")
    if not place or not name or (place.startswith(".") and not is_file):
        raise UserError(f"tool {reference!r}: expected file.py:function or module:function")
    if is_file:
        path = (root / place).resolve()
        if path not in files:
            files[path] = _from_file(reference, path)
        module = files[path]
    else:
        module = _from_module(reference, place)
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"tool {reference!r}: {place} has no function {name!r}")
    try:
        return FunctionTool(function)
    except UserError as error:
        raise UserError(f"tool {reference!r}: {error}") from None


def _from_module(reference: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    # A user's module runs here, and may raise anything.
    except (Exception, SystemExit) as error:
        raise UserError(f"tool {reference!r} can't be imported: {type(error).__name__}: {error}") from None


def _from_file(reference: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"tool {reference!r}: there is no file {path}")
    name = f"_agentbench_tools_{sha256(str(path).encode()).hexdigest()[:16]}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # where dataclasses and type hints look their module up
    try:
        specification.loader.exec_module(module)
    # A user's file runs here, and may raise anything.
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"tool {reference!r}: {path} can't be run: {type(error).__name__}: {error}") from None
    return module
