"""Replays a candidate's recorded model calls on servers with other lossless knobs; nothing is scored.

An attempt keeps its recorded verdict, since the knobs change no answer.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError
from agentbench.core.trace import Failure, ModelCall, Trace
from agentbench.loadtest.bench import run_measurement
from agentbench.loadtest.measurement import Measurement
from agentbench.loadtest.metrics import measured
from agentbench.loadtest.plan import LoadPoint
from agentbench.loadtest.record import Record, record_of
from agentbench.loadtest.recorded import session_of
from agentbench.loadtest.target_server import TargetServer, TargetSpec, opened_target
from agentbench.loadtest.workload import Path as RequestPath
from agentbench.loadtest.workload import Session, Turn
from agentbench.stats import Outcome
from agentbench.stats.outcomes import outcome_of
from tuners.search.evaluator import Broken
from tuners.space.configuration import Configuration

WARM_UP = 4
"""Attempts that are replayed first, and not measured."""

VOCAB = (1000, 30000)
"""Token ids of the capability probe; a probe of chat completions uses none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A workload of recorded sessions: those to measure, and others to warm the server up."""

    measured: tuple[Session, ...]
    warm_up: tuple[Session, ...]
    path: RequestPath = "chat/completions"
    note: str = ""

    @property
    def size(self) -> int:
        return len(self.measured)

    def sessions(self, seed: str) -> Iterator[Session]:
        return iter(self.warm_up if seed.endswith("warm-up") else self.measured)


class TraceReplay:
    """Replays at most `most` attempts, at the run's concurrency; a server's log goes to `log_path`."""

    def __init__(self, most: int, log_path: Path) -> None:
        self._most = most
        self._log_path = log_path

    def size(self, attempts: Sequence[Attempt]) -> int:
        """How many of the attempts are replayed."""
        return len(_split_warm_up(attempts, self._most)[1])

    async def outcomes(self, configuration: Configuration, attempts: Sequence[Attempt]) -> list[Outcome]:
        """The outcomes of a replay on a server started for it. `Broken` when it does not start or answers nothing."""
        warm_up, chosen = _split_warm_up(attempts, self._most)
        async with self._open_server("replay", configuration) as server:
            found = await _replay(server, configuration, chosen, warm_up)
        if all(outcome.failure for outcome in found):
            raise Broken("the server answered none of the recorded requests in the replay")
        return found

    async def in_turn(
        self, a: Configuration, b: Configuration, pairs: Sequence[tuple[Attempt, Attempt]], rounds: int
    ) -> list[tuple[list[Outcome], list[Outcome]]]:
        """Replays A's, then B's attempts in each of the rounds; their outcomes, round by round.

        Each pair has A's and B's attempt at the same case. A pair is in one round only, so that its prompts are not in
        a server's prefix cache. `Broken` when there are too few pairs, or when a server does not start.
        """
        if len(pairs) < WARM_UP + rounds:
            raise Broken(f"{len(pairs)} recorded attempts are too few for a replay in {rounds} rounds")
        warm_up, rest = pairs[:WARM_UP], pairs[WARM_UP:]
        found = []
        async with self._open_server("A", a) as server_a, self._open_server("B", b) as server_b:
            for number in range(rounds):
                now, first = rest[number::rounds], warm_up if number == 0 else ()
                of_a = await _replay(server_a, a, [x for x, _ in now], [x for x, _ in first])
                of_b = await _replay(server_b, b, [y for _, y in now], [y for _, y in first])
                found.append((of_a, of_b))
        return found

    @asynccontextmanager
    async def _open_server(self, name: str, configuration: Configuration) -> AsyncIterator[TargetServer]:
        """The configuration's server, with its probed capabilities, until its block ends."""
        config = configuration.suite.config
        wanted = TargetSpec(name=name, server=config.serving)
        opening = opened_target(wanted, self._log_path, config.run.timeout_s, {})
        try:
            server = await opening.__aenter__()
        except UserError as error:
            raise Broken(str(error)) from error
        try:
            yield await server.with_capabilities(("chat",), VOCAB)
        finally:
            await opening.__aexit__(None, None, None)


def _split_warm_up(attempts: Sequence[Attempt], most: int) -> tuple[Sequence[Attempt], Sequence[Attempt]]:
    """The first attempts as a warm-up, and at most `most` of the others, evenly spread; no warm-up from only a few."""
    usable = sorted(
        (each for each in attempts if each.trace.served_calls), key=lambda each: (each.repeat, each.case_id)
    )
    if len(usable) <= WARM_UP:
        return (), usable
    warm_up, rest = usable[:WARM_UP], usable[WARM_UP:]
    step = max(1, len(rest) // most)
    return warm_up, rest[::step][:most]


async def _replay(
    server: TargetServer, configuration: Configuration, attempts: Sequence[Attempt], warm_up: Sequence[Attempt]
) -> list[Outcome]:
    """The attempts' outcomes on this server, in their order."""
    sessions = [_session(attempt, server.capabilities.ignore_eos) for attempt in attempts]
    recording = Recording(
        measured=tuple(sessions),
        warm_up=tuple(_session(attempt, server.capabilities.ignore_eos) for attempt in warm_up),
    )
    load = LoadPoint(
        concurrency=configuration.suite.config.run.concurrency, requests=len(attempts), warmup=len(recording.warm_up)
    )
    measurement = Measurement()
    await run_measurement(server, recording, load, measurement)
    attempt_of = {id(turn): number for number, session in enumerate(sessions) for turn in session.turns}
    records: dict[int, list[Record]] = {number: [] for number in range(len(sessions))}
    for exchange in measurement.exchanges:
        if not exchange.warmup:
            records[attempt_of[id(exchange.request)]].append(record_of(exchange, measurement.started_at))
    return [_outcome(attempts[number], measured(found)) for number, found in records.items()]


def _session(attempt: Attempt, forced: bool) -> Session:
    """The attempt's recorded calls as turns; `forced` makes the server generate each recorded number of tokens."""
    session = session_of(attempt, 0)
    turns = zip(session.turns, attempt.trace.served_calls, strict=True)
    return replace(session, offset_s=0.0, turns=tuple(_turn(turn, call, forced) for turn, call in turns))


def _turn(turn: Turn, call: ModelCall, forced: bool) -> Turn:
    """The turn with the recorded number of tokens as its limit.

    When `forced`, the server generates all of them, unless a grammar, tools or stop texts decide where the answer ends.
    """
    if call.completion_tokens is None:
        return turn
    body: dict[str, Any] = {**turn.body, "max_tokens": call.completion_tokens}
    if forced and not _constrained(turn.body):
        body["ignore_eos"] = True
    return replace(turn, body=body)


def _constrained(body: Mapping[str, Any]) -> bool:
    return bool(body.get("response_format") or body.get("tools") or body.get("stop"))


def _outcome(attempt: Attempt, records: Sequence[Record]) -> Outcome:
    """The outcome of a replayed attempt: new times and the recorded verdict; an infra failure when a request failed."""
    error = next((record.error for record in records if record.error), None if records else "not sent")
    return outcome_of(
        replace(
            attempt,
            wall_anchor_ns=0,
            started_at=min((record.intended_at for record in records), default=0),
            ended_at=max((record.ended_at for record in records), default=0),
            trace=Trace(steps=tuple(record.as_call() for record in records)),
            failure=Failure(kind="infra", message=error) if error else None,
            scores=(),
        )
    )
