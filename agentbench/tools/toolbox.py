"""The tools of one attempt: the suite's functions, and what the case declares."""

import json
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter_ns
from typing import Any

from agentbench.case import Case, ToolSpec
from agentbench.errors import AttemptError, UserError
from agentbench.guest import Late, Raised, contained, described
from agentbench.protocols import ConvertsArguments, MayHang, ToolSession, ToolSource
from agentbench.trace import ToolCall

TIMEOUT_S = 30.0
RESULT_CHARS = 20_000
"""Characters of a result that the agent is shown and the record keeps."""


class CaseToolbox:
    """Implements `Toolbox`. Whatever a model gets wrong comes back as the call's `error`."""

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
        """`AttemptError` when a call was given up and its server turns out to be stuck."""
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
        """The result or the error. A user's tool may raise anything: an exception is for the agent to see, what is none
        (a cancellation that nobody here asked for) breaks the attempt."""
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
    """The tools of one attempt of `case`: a session of each source, and what the case declares."""
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(source.session(case)) for source in sources]
        yield CaseToolbox(sessions, case.tools, timeout_s)


async def _require_answers(session: ToolSession) -> None:
    """`AttemptError` when the tool is not slow but its server stuck."""
    if isinstance(session, MayHang):
        await session.check()


def _cut(text: str | None) -> str | None:
    """The text, or the first of it with a note of how long it was."""
    if text is None or len(text) <= RESULT_CHARS:
        return text
    return f"{text[:RESULT_CHARS]}\n[cut: {len(text)} characters in all]"


def _parsed(arguments: Any) -> tuple[Mapping[str, Any], str | None]:
    """The arguments as an object, or why they are none. Nothing at all means no arguments."""
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
