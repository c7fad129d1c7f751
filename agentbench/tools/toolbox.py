"""The tools of one attempt: those that the suite names, and those that the case declares.

A suite names a tool as `module:function`, as `file.py:function` beside the suite, or as a source by its registered
name. Two tools can't share a name, since a model could not tell them apart.
"""

import json
import traceback
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import AttemptError, UserError
from agentbench.core.guest import Late, Raised, contained, described
from agentbench.core.protocols import ConvertsArguments, KnowsTools, MayHang, ToolSession, ToolSource
from agentbench.core.trace import ToolCall
from agentbench.references import Files, beside, load_object
from agentbench.suite import registry
from agentbench.suite.config import Component
from agentbench.tools.function import FunctionTool


def load_tools(tools: Sequence[str | Component], root: Path) -> tuple[ToolSource, ...]:
    """The sources in order; `UserError` names the wrong reference. `root` is the suite's directory.

    A file runs once per call of this function, even if several of its functions are named.
    """
    files: Files = {}
    sources: list[ToolSource] = []
    for number, tool in enumerate(tools):
        if isinstance(tool, str):
            with beside(root):
                sources.append(_load(tool, files))
        else:
            sources.append(registry.build("tools", tool, root, prefix=("tools", number)))
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


def refuse_clashes(sources: Sequence[ToolSource], cases: Iterable[Case]) -> None:
    """`UserError` when two of the suite's tools share a name, or a case declares a name twice or a suite's name.

    Sources that list their tools only during an attempt are left out.
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


TIMEOUT_S = 30.0
RESULT_CHARS = 20_000
"""Characters of a result that the agent is shown and the record keeps."""


class CaseToolbox:
    """Implements `Toolbox`. A model's mistake comes back as the call's `error`."""

    def __init__(
        self, sessions: Sequence[ToolSession], declared: Sequence[ToolSpec], timeout_s: float = TIMEOUT_S
    ) -> None:
        self._sessions = sessions
        self._executing = {spec.name: session for session in sessions for spec in session.specs}
        executed = (spec for session in sessions for spec in session.specs)
        self.specs: tuple[ToolSpec, ...] = (*executed, *declared)
        self._timeout_s = timeout_s
        self._names = {spec.name for spec in self.specs}
        if len(self._names) != len(self.specs):
            raise UserError(f"two tools have one name: {', '.join(spec.name for spec in self.specs)}")

    def executes(self, name: str) -> bool:
        return name in self._executing

    async def state(self) -> Any:
        states = [state for session in self._sessions if (state := await session.state()) is not None]
        return states[0] if len(states) == 1 else states or None

    async def check(self) -> None:
        """`AttemptError` when a call timed out because its server is stuck."""
        for session in self._sessions:
            await _require_answers(session)

    async def call(self, name: str, arguments: str | Mapping[str, Any], call_id: str = "") -> ToolCall:
        started_at = perf_counter_ns()
        parsed, error = _parsed(arguments)
        result: str | None = None
        if error is None and name not in self._names:
            error = f"there is no tool {name!r}; there are: {', '.join(sorted(self._names)) or 'none'}"
        executed = error is None and self.executes(name)
        if executed:
            parsed = await self._converted(name, parsed)
            result, error = (_cut(text) for text in await self._run(name, parsed))
        return ToolCall(
            call_id=call_id,
            name=name,
            arguments=parsed,
            started_at=started_at,
            ended_at=perf_counter_ns(),
            executed=executed,
            result=result,
            error=error,
        )

    async def _converted(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        session = self._executing[name]
        return await session.converted(name, arguments) if isinstance(session, ConvertsArguments) else arguments

    async def _run(self, name: str, arguments: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The result or the error.

        A user's tool may raise anything: the agent sees an exception as an error; any other BaseException (a
        cancellation of its own) breaks the attempt.
        """
        outcome = await contained(lambda: self._executing[name].call(name, arguments), self._timeout_s)
        if isinstance(outcome, Late):
            await _require_answers(self._executing[name])
            return None, f"{name} was not done after {self._timeout_s:g} s"
        if not isinstance(outcome, Raised):
            return outcome, None
        if isinstance(outcome.error, AttemptError):
            raise outcome.error
        if isinstance(outcome.error, Exception | SystemExit):
            return None, described(outcome.error)
        detail = "".join(traceback.format_exception(outcome.error))
        raise AttemptError("tool", f"{name}: {described(outcome.error)}", detail)


@asynccontextmanager
async def opened_toolbox(
    sources: Sequence[ToolSource], case: Case, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[CaseToolbox]:
    """The tools of one attempt of `case`: a session of each source, and the case's declared tools."""
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(source.session(case)) for source in sources]
        yield CaseToolbox(sessions, case.tools, timeout_s)


async def _require_answers(session: ToolSession) -> None:
    """`AttemptError` when the tool is not just slow but its server is stuck."""
    if isinstance(session, MayHang):
        await session.check()


def _cut(text: str | None) -> str | None:
    """The text; a long one is cut, with a note of its full length."""
    if text is None or len(text) <= RESULT_CHARS:
        return text
    return f"{text[:RESULT_CHARS]}\n[cut: {len(text)} characters in all]"


def _parsed(arguments: Any) -> tuple[Mapping[str, Any], str | None]:
    """The arguments as an object, or why they are invalid. Empty text means no arguments."""
    if isinstance(arguments, Mapping):
        return arguments, None
    try:
        value = json.loads(arguments or "{}", parse_constant=_refuse)
    # ValueError is also what an integer of more than 4300 digits raises, TypeError what no text raises.
    except (ValueError, TypeError, RecursionError) as error:
        return {}, f"the arguments are not valid JSON: {error}"
    if not isinstance(value, dict):
        return {}, f"the arguments are a JSON {type(value).__name__}, not an object"
    return value, None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")
