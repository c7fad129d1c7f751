"""Finds the tools that a suite names: `module:function`, `file.py:function` beside the suite, or a source by name."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from agentbench import spec
from agentbench.config import Component
from agentbench.errors import UserError
from agentbench.protocols import ToolSource
from agentbench.tools.function import FunctionTool


def load_tools(tools: Sequence[str | Component], root: Path) -> tuple[ToolSource, ...]:
    """The sources in order; `UserError` names the reference that is wrong. `root` is the suite's directory.

    A file is run once, however many of its functions are named, and again when tools are loaded again.
    """
    files: dict[Path, ModuleType] = {}
    sources: list[ToolSource] = []
    for number, tool in enumerate(tools):
        if isinstance(tool, str):
            sources.append(_load(tool, root, files))
        else:
            sources.append(spec.build("tools", tool, root, prefix=("tools", number)))
    names = [source.spec.name for source in sources if isinstance(source, FunctionTool)]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"tools: two are named {name!r}: {', '.join(map(str, tools))}")
    return tuple(sources)


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
