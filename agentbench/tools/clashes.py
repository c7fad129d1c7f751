"""Two tools of one name: an agent could not say which it means."""

from collections.abc import Iterable, Sequence

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.protocols import KnowsTools, ToolSource


def refuse_clashes(sources: Sequence[ToolSource], cases: Iterable[Case]) -> None:
    """`UserError` when two of the suite's tools, or one of a case and another, have one name.

    Sources that know their names only in an attempt are left out.
    """
    found: set[str] = set()
    for number, source in enumerate(sources):
        for name in source.names if isinstance(source, KnowsTools) else ():
            if name in found:
                raise UserError(
                    f"tools.{number}: a tool of the suite is named {name!r} already; leave one out (exclude) or give"
                    " an MCP server's a prefix"
                )
            found.add(name)
    for case in cases:
        _refuse_in(case, found)


def _refuse_in(case: Case, found: set[str]) -> None:
    declared: set[str] = set()
    for tool in case.tools:
        if tool.name in found or tool.name in declared:
            other = "the suite has" if tool.name in found else "it declares twice"
            raise UserError(f"case {case.id!r} declares the tool {tool.name!r}, which {other}; rename one")
        declared.add(tool.name)
