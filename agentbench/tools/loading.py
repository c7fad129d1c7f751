"""Finds the tools that a suite names: `module:function`, `file.py:function` beside the suite, or a source by name."""

from collections.abc import Sequence
from pathlib import Path

from agentbench import spec
from agentbench.config import Component
from agentbench.errors import UserError
from agentbench.protocols import ToolSource
from agentbench.references import Files, beside, load_object
from agentbench.tools.function import FunctionTool


def load_tools(tools: Sequence[str | Component], root: Path) -> tuple[ToolSource, ...]:
    """The sources in order; `UserError` names the reference that is wrong. `root` is the suite's directory.

    A file is run once, however many of its functions are named, and again when tools are loaded again.
    """
    files: Files = {}
    sources: list[ToolSource] = []
    for number, tool in enumerate(tools):
        if isinstance(tool, str):
            with beside(root):
                sources.append(_load(tool, files))
        else:
            sources.append(spec.build("tools", tool, root, prefix=("tools", number)))
    names = [source.spec.name for source in sources if isinstance(source, FunctionTool)]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"tools: two are named {name!r}: {', '.join(map(str, tools))}")
    return tuple(sources)


def _load(reference: str, files: Files) -> FunctionTool:
    try:
        function = load_object(reference, files=files)
    except ValueError as error:
        raise UserError(f"tool {reference!r}: {error}") from None
    try:
        return FunctionTool(function)
    except UserError as error:
        raise UserError(f"tool {reference!r}: {error}") from None
