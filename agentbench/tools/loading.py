"""Finds the tools that a suite names: `module:function`, `file.py:function` beside the suite, or a source by name."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from agentbench import spec
from agentbench.config import Component
from agentbench.errors import UserError
from agentbench.protocols import ToolSource
from agentbench.tools.function import FunctionTool
from agentbench.tools.reference import load_object


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
    function = load_object(reference, root, files, "function")
    try:
        return FunctionTool(function)
    except UserError as error:
        raise UserError(f"tool {reference!r}: {error}") from None
