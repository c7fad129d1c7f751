"""Workloads of recorded requests: the first one of each case of a suite, or all of a stored run.

For a suite, its agent runs against a listener that records the request and refuses it. The load generator then sends
exactly this request (messages, tools, output schema, sampling) under any arrivals, the same to every server. Later
turns depend on the answers and are left out. For a stored run, its model calls are replayed in order, with the recorded
gaps of agents and tools between them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path as FilePath
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError
from agentbench.core.guest import described
from agentbench.core.protocols import Agent, Backend, Endpoint
from agentbench.core.trace import ModelCall
from agentbench.loadtest.workload import Path, Session, Turn
from agentbench.references import beside
from agentbench.run.recorder import Recorder
from agentbench.store import open_store
from agentbench.suite import registry
from agentbench.suite.suite import Suite, load_suite
from agentbench.tools import load_tools, opened_toolbox

LEFT_OUT = ("model", "stream", "stream_options")
REFUSAL = b'{"error": {"message": "recorded"}}'
SUITES = FilePath("suites")
CLOSING_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Sessions in a fixed order, repeated from the start at the end."""

    recorded: tuple[Session, ...]
    note: str
    path: Path = "chat/completions"

    @property
    def size(self) -> int:
        return len(self.recorded)

    def sessions(self, seed: str) -> Iterator[Session]:
        return cycle(self.recorded)


async def suite_prompts(reference: str) -> Recorded:
    """The workload of a suite, given by its directory or its name in suites/. `UserError` when it has none."""
    named = SUITES / reference
    suite = load_suite(named if named.is_dir() else FilePath(reference)).drawn()
    bodies, why = await first_requests(suite)
    if not bodies:
        raise UserError(
            f"the agent of suite {suite.name!r} made no model call over HTTP, so there is nothing to send{why}"
        )
    sessions = tuple(Session(turns=(_turn(body),), name=case_id) for case_id, body in bodies.items())
    missing = len(suite.cases) - len(bodies)
    rest = f"; {missing} cases made none{why}" if missing else ""
    note = f"the first model call of each of {len(bodies)} cases of suite {suite.name} {suite.version}{rest}"
    return Recorded(recorded=sessions, note=note)


def _turn(body: Mapping[str, Any]) -> Turn:
    parameters = {key: value for key, value in body.items() if key not in LEFT_OUT}
    return Turn(path="chat/completions", body=parameters)


async def first_requests(suite: Suite) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Maps each case id to the body of its agent's first request. Also returns the exception of the first agent that
    sent none.
    """
    with beside(suite.root):
        agent: Agent = registry.build("agents", suite.config.agent, prefix=("agent",))
    tools = load_tools(suite.tools, suite.root)
    found: dict[str, Mapping[str, Any]] = {}
    why = ""
    async with _listener() as (endpoint, bodies):
        backend: Backend = registry.build("backends", suite.config.backend, endpoint, prefix=("backend",))
        try:
            for case in suite.cases:
                async with opened_toolbox(tools, case) as toolbox:
                    recorder = Recorder(backend, toolbox, suite.config.run.seed)
                    try:
                        await agent(case, recorder, recorder)
                    except Exception as error:  # the refusal ends the agent; a user's agent may react in any way
                        why = why or ("" if bodies else f" (case {case.id}: {described(error)})")
                if bodies:
                    found[case.id] = bodies[0]
                bodies.clear()
        finally:
            await backend.aclose()
    return found, why


@asynccontextmanager
async def _listener() -> AsyncIterator[tuple[Endpoint, list[Mapping[str, Any]]]]:
    """An endpoint that records the bodies of requests and refuses each request."""
    bodies: list[Mapping[str, Any]] = []
    handlers: set[asyncio.Future[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            handlers.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                bodies.append(await _body(reader))
                head = f"HTTP/1.1 400 Recorded\r\nContent-Type: application/json\r\nContent-Length: {len(REFUSAL)}"
                writer.write(head.encode() + b"\r\n\r\n" + REFUSAL)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, limit=2**20)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Endpoint(base_url=f"http://127.0.0.1:{port}/v1", model="recorded"), bodies
    finally:
        server.close()
        if handlers:
            await asyncio.wait(handlers, timeout=CLOSING_S)


async def _body(reader: asyncio.StreamReader) -> Mapping[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
    found: Mapping[str, Any] = json.loads(await reader.readexactly(int(length.partition(":")[2])))
    return found


def stored_run(reference: str, db: str | None) -> Recorded:
    """The workload of a run: a session for each attempt, with the recorded start times relative to the first.

    A turn's gap is the time from the end of the previous call to the next one's intended send: the work of tools and
    agent. The messages are the recorded ones, so that every server gets the same whatever it answers. `UserError` when
    the store does not have the run, or the run has no model call.
    """
    with open_store(db, create=False) as store:
        run = store.get_run(reference)
        attempts = [attempt for attempt in store.attempts(run.id) if attempt.trace.served_calls]
    if not attempts:
        raise UserError(f"run {run.id} has no model call to replay")
    attempts.sort(key=_began)
    begin = _began(attempts[0])
    sessions = tuple(session_of(attempt, begin) for attempt in attempts)
    calls = sum(len(session.turns) for session in sessions)
    note = f"{calls} model calls of {len(sessions)} attempts of run {run.id}, with their own gaps between turns"
    return Recorded(recorded=sessions, note=note)


def _began(attempt: Attempt) -> int:
    """The intended send of its first call, in nanoseconds since the Unix epoch."""
    return attempt.wall_anchor_ns + attempt.trace.served_calls[0].intended_at


def session_of(attempt: Attempt, begin: int) -> Session:
    calls = attempt.trace.served_calls
    gaps = [0, *(max(0, now.intended_at - before.ended_at) for before, now in pairwise(calls))]
    turns = tuple(_replayed_turn(call, gap) for call, gap in zip(calls, gaps, strict=True))
    return Session(turns=turns, offset_s=(_began(attempt) - begin) / 1e9, name=f"{attempt.case_id} {attempt.repeat}")


def _replayed_turn(call: ModelCall, gap_ns: int) -> Turn:
    extra = dict(call.request.get("extra_body") or {})
    parameters = {key: value for key, value in call.request.items() if key not in (*LEFT_OUT, "extra_body")}
    body = {"messages": list(call.messages), **parameters, **extra}
    return Turn(path="chat/completions", body=body, gap_ns=gap_ns)
