"""Processes of a `command` agent: one for an attempt, or a pool whose processes serve one attempt at a time."""

import asyncio
import contextlib
import itertools
import json
import signal
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

from agentbench.core.case import Case
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import ChatClient
from agentbench.environment import with_variables
from agentbench.processes import Lifeline, MarkedProcess

Payload = dict[str, Any]
ANSWER_LIMIT = 16 * 2**20
"""Most bytes of a line or an answer; a longer one is an error."""
TAIL = 8192
"""Bytes from the end of standard error that a failure includes."""


class AgentProcess:
    """One process of the program. It leads a session, so that its children end with it, also when this process dies.

    `owes` is set from a request until its answer; no other request can be sent meanwhile.
    """

    def __init__(self, marked: MarkedProcess, lifeline: Lifeline) -> None:
        self.owes = False
        self._marked = marked
        self._process = marked.process
        self._lifeline = lifeline
        self._errors = b""
        self._listening = asyncio.create_task(self._listen())
        lifeline.hold(marked)

    @classmethod
    async def start(cls, command: tuple[str, ...], env: Mapping[str, str], lifeline: Lifeline) -> "AgentProcess":
        try:
            marked = await MarkedProcess.start(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=with_variables(**env),
                limit=ANSWER_LIMIT,
            )
        except OSError as error:
            raise AttemptError("agent", f"{command[0]!r} can't be run: {error.strerror}") from None
        return cls(marked, lifeline)

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def _listen(self) -> None:
        """Reads standard error, so that the process never blocks on it, and stores its last bytes."""
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._errors = (self._errors + chunk)[-TAIL:]

    def write(self, payload: Payload) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(payload, default=str).encode() + b"\n")

    def close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def read_line(self) -> bytes:
        """The next line; `AttemptError` when the process ended or the line is over the limit."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
        except ValueError:
            raise self.failure(f"a line of over {ANSWER_LIMIT} bytes") from None
        if not line:
            raise await self.ended()
        return line

    async def read_all(self) -> bytes:
        """All output up to a successful exit."""
        assert self._process.stdout is not None
        parts: list[bytes] = []
        while part := await self._process.stdout.read(2**16):
            parts.append(part)
            if sum(map(len, parts)) > ANSWER_LIMIT:
                raise self.failure(f"the command printed over {ANSWER_LIMIT} bytes")
        if await self._process.wait():
            raise await self.ended()
        return b"".join(parts)

    async def ended(self) -> AttemptError:
        """The failure for a process that ended, with the end of its standard error."""
        code = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), 1)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        lines = self._stderr_text().strip().splitlines()
        last = lines[-1].strip() if lines else "nothing on standard error"
        return self.failure(f"the command {how}: {last[:500]}")

    def failure(self, message: str) -> AttemptError:
        """An agent failure with the end of standard error as its detail."""
        return AttemptError("agent", message, self._stderr_text())

    def _stderr_text(self) -> str:
        return self._errors.decode("utf-8", "replace")

    async def kill(self) -> None:
        """End the process and its children; safe to call twice."""
        self._lifeline.end(self._marked)
        await self._process.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


async def run_once(command: tuple[str, ...], env: Mapping[str, str], payload: Payload, lifeline: Lifeline) -> str:
    """The answer of a process of its own; the process ends with the attempt."""
    variables = {
        "OPENAI_BASE_URL": payload["base_url"],
        "OPENAI_API_KEY": payload["api_key"],
        "AGENTBENCH_MODEL": payload["model"],
    }
    process = await AgentProcess.start(command, {**variables, **env}, lifeline)
    try:
        process.write(payload)
        process.close_input()
        return _answer(await process.read_all())
    finally:
        await process.kill()


def _answer(printed: bytes) -> str:
    """The `output` of the last line when that is a JSON object with this key, otherwise the whole text."""
    text = printed.decode("utf-8", "replace").strip()
    try:
        last = json.loads(text.rpartition("\n")[2])
    except (ValueError, RecursionError):
        return text
    return output_of(last) if isinstance(last, dict) and "output" in last else text


def output_of(reply: Mapping[str, Any]) -> str:
    output = reply["output"]
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)


ColdStart = Callable[[int], None]


@dataclass(slots=True, kw_only=True)
class Session:
    """An attempt's process, and how many messages of the conversation it has received."""

    process: AgentProcess
    name: str
    received: int = field(default=0)


class ProcessPool:
    """Up to `size` processes, started on demand; a process that fails or is abandoned mid-request is replaced."""

    def __init__(
        self, command: tuple[str, ...], env: Mapping[str, str], lifeline: Lifeline, size: int, startup_timeout_s: float
    ) -> None:
        self._command = command
        self._env = env
        self._lifeline = lifeline
        self._startup_timeout_s = startup_timeout_s
        self._places = asyncio.Semaphore(size)
        self._idle: list[AgentProcess] = []
        self._numbers = itertools.count(1)
        self._sessions: weakref.WeakKeyDictionary[ChatClient, Session] = weakref.WeakKeyDictionary()

    async def ask(self, payload: Payload, cold_start: ColdStart) -> str:
        """The answer of any idle process."""
        async with self._process(cold_start) as process:
            return await self._exchange(process, payload)

    async def ask_in_session(self, case: Case, payload: Payload, backend: ChatClient) -> str:
        """The answer of the attempt's own process, which receives only the messages it has not seen."""
        session = self._sessions.get(backend)
        if session is None:
            session = self._sessions[backend] = await backend.hold(self._session(backend.record_cold_start))
        messages = list(case.messages)
        new = {**payload, "session": session.name, "messages": messages[session.received :]}
        # The next turn contains the agent's own answer, which the process knows.
        session.received = len(messages) + 1
        return await self._exchange(session.process, new)

    @asynccontextmanager
    async def _session(self, cold_start: ColdStart) -> AsyncIterator[Session]:
        async with self._process(cold_start) as process:
            session = Session(process=process, name=f"s{next(self._numbers)}")
            yield session
            if not process.owes:
                process.write({"end": session.name})

    @asynccontextmanager
    async def _process(self, cold_start: ColdStart) -> AsyncIterator[AgentProcess]:
        async with self._places:
            process = await self._idle_process() or await self._started(cold_start)
            try:
                yield process
            finally:
                # A late answer would be taken for the next attempt's.
                if process.owes:
                    await process.kill()
                else:
                    self._idle.append(process)

    async def _idle_process(self) -> AgentProcess | None:
        """An idle process. Processes that ended while idle are dropped without a failure."""
        while self._idle:
            process = self._idle.pop()
            if process.is_running:
                return process
            await process.kill()
        return None

    async def _started(self, cold_start: ColdStart) -> AgentProcess:
        began = perf_counter_ns()
        process = await AgentProcess.start(self._command, self._env, self._lifeline)
        try:
            async with asyncio.timeout(self._startup_timeout_s):
                reply = await _reply(process)
            if reply.get("ready") is not True:
                raise process.failure(f'expected {{"ready": true}} from the command, got {reply!r:.200}')
        except TimeoutError:
            await process.kill()
            raise process.failure(f"the command was not ready after {self._startup_timeout_s:g} s") from None
        except BaseException:  # a cancellation too: nothing else would end this process
            await process.kill()
            raise
        cold_start(perf_counter_ns() - began)
        return process

    async def _exchange(self, process: AgentProcess, payload: Payload) -> str:
        number = next(self._numbers)
        process.owes = True
        process.write({"id": number, **payload})
        reply = await _reply(process)
        if reply.get("id") != number:
            raise process.failure(f"expected the answer to request {number}, got {reply!r:.200}")
        process.owes = False
        if "error" in reply:
            raise process.failure(str(reply["error"])[:2000])
        if "output" not in reply:
            raise process.failure(f"the answer has neither output nor error: {reply!r:.200}")
        return output_of(reply)

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().kill()


async def _reply(process: AgentProcess) -> dict[str, Any]:
    line = await process.read_line()
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise process.failure(f"expected a JSON object a line from the command, got {line[:200]!r}")
    return value
