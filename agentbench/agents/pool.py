"""Processes of a `command` agent that stay, each with one attempt at a time."""

import asyncio
import itertools
import json
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

from agentbench.agents.lifeline import Lifeline
from agentbench.agents.process import AgentProcess, Payload, output_of
from agentbench.case import Case
from agentbench.protocols import ChatClient

ColdStart = Callable[[int], None]


@dataclass(slots=True, kw_only=True)
class Session:
    """An attempt's process, and how much of the conversation it has been told."""

    process: AgentProcess
    name: str
    told: int = field(default=0)


class ProcessPool:
    """At most `size` processes, started when they are needed; one that fails or is left waiting is replaced."""

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
        """Any process's answer."""
        async with self._process(cold_start) as process:
            return await self._exchange(process, payload)

    async def ask_in_session(self, case: Case, payload: Payload, backend: ChatClient) -> str:
        """The answer of the process that has this attempt; it is given only the messages it has not seen."""
        session = self._sessions.get(backend)
        if session is None:
            session = self._sessions[backend] = await backend.hold(self._session(backend.record_cold_start))
        messages = list(case.messages)
        new = {**payload, "session": session.name, "messages": messages[session.told :]}
        # The agent's answer will come back as one more message, which it knows.
        session.told = len(messages) + 1
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
            process = await self._kept() or await self._started(cold_start)
            try:
                yield process
            finally:
                # An answer that it owes may still come, and would be taken for the next attempt's.
                if process.owes:
                    await process.kill()
                else:
                    self._idle.append(process)

    async def _kept(self) -> AgentProcess | None:
        """One that waits; those that ended while they did are nobody's failure."""
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
        except BaseException:  # a cancellation too: nobody else knows of this process
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
