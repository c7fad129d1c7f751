"""The recorded model calls of a candidate, sent again to servers with other lossless knobs; nothing is scored.

An attempt is right in a replay when it was right as it was recorded: the knobs change no answer.
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
from agentbench.loadtest.replay import session_of
from agentbench.loadtest.target_server import TargetServer, TargetSpec, opened_target
from agentbench.loadtest.workload import Path as RequestPath
from agentbench.loadtest.workload import Session, Turn
from agentbench.stats import Outcome
from agentbench.stats.outcomes import outcome_of
from tuners.search.evaluator import Broken
from tuners.space.configuration import Configuration

WARM_UP = 4
"""Attempts whose first call is sent before it is measured."""

VOCAB = (1000, 30000)
"""Of the probe that asks what a server understands; a chat's probe uses none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Sessions to be measured, and others to warm up with."""

    sessions_: tuple[Session, ...]
    warm: tuple[Session, ...]
    path: RequestPath = "chat/completions"
    note: str = ""

    @property
    def size(self) -> int:
        return len(self.sessions_)

    def sessions(self, seed: str) -> Iterator[Session]:
        return iter(self.warm if seed.endswith("warm-up") else self.sessions_)


class TraceReplay:
    """Sends at most `most` attempts again, at the concurrency of the run."""

    def __init__(self, most: int, log_path: Path) -> None:
        self._most = most
        self._log_path = log_path

    def size(self, attempts: Sequence[Attempt]) -> int:
        """How many of the attempts are sent again."""
        return len(_parted(attempts, self._most)[1])

    async def outcomes(self, configuration: Configuration, attempts: Sequence[Attempt]) -> list[Outcome]:
        """By a server that is started for this. `Broken` when it does not start, or answers nothing."""
        warm, chosen = _parted(attempts, self._most)
        async with self._side("replay", configuration) as side:
            found = await _replayed(side, configuration, chosen, warm)
        if all(outcome.failure for outcome in found):
            raise Broken("no recorded request was answered when it was sent again")
        return found

    async def in_turn(
        self, a: Configuration, b: Configuration, pairs: Sequence[tuple[Attempt, Attempt]], rounds: int
    ) -> list[tuple[list[Outcome], list[Outcome]]]:
        """Rounds of A then B, over pairs of A's and B's attempts that no round before had: no server knows their
        prefixes yet."""
        if len(pairs) < WARM_UP + rounds:
            raise Broken(f"{len(pairs)} attempts to send again are too few for {rounds} rounds")
        warm, rest = pairs[:WARM_UP], pairs[WARM_UP:]
        found = []
        async with self._side("A", a) as side_a, self._side("B", b) as side_b:
            for number in range(rounds):
                now, first = rest[number::rounds], warm if number == 0 else ()
                of_a = await _replayed(side_a, a, [x for x, _ in now], [x for x, _ in first])
                of_b = await _replayed(side_b, b, [y for _, y in now], [y for _, y in first])
                found.append((of_a, of_b))
        return found

    @asynccontextmanager
    async def _side(self, name: str, configuration: Configuration) -> AsyncIterator[TargetServer]:
        config = configuration.suite.config
        wanted = TargetSpec(name=name, server=config.serving)
        opening = opened_target(wanted, self._log_path, config.run.timeout_s, {})
        try:
            side = await opening.__aenter__()
        except UserError as error:
            raise Broken(str(error)) from error
        try:
            yield await side.asked(("chat",), VOCAB)
        finally:
            await opening.__aexit__(None, None, None)


def _parted(attempts: Sequence[Attempt], most: int) -> tuple[Sequence[Attempt], Sequence[Attempt]]:
    """Some to warm up with, and at most `most` others, spread over all."""
    usable = sorted(
        (each for each in attempts if each.trace.served_calls), key=lambda each: (each.repeat, each.case_id)
    )
    if len(usable) <= WARM_UP:
        return (), usable
    warm, rest = usable[:WARM_UP], usable[WARM_UP:]
    step = max(1, len(rest) // most)
    return warm, rest[::step][:most]


async def _replayed(
    side: TargetServer, configuration: Configuration, attempts: Sequence[Attempt], warm: Sequence[Attempt]
) -> list[Outcome]:
    pairs = [(attempt, _session(attempt, side.capabilities.ignore_eos)) for attempt in attempts]
    recording = Recording(
        sessions_=tuple(session for _, session in pairs),
        warm=tuple(_session(attempt, side.capabilities.ignore_eos) for attempt in warm),
    )
    load = LoadPoint(
        concurrency=configuration.suite.config.run.concurrency, requests=len(attempts), warmup=len(recording.warm)
    )
    measurement = Measurement()
    await run_measurement(side, recording, load, measurement)
    asked = {id(turn): number for number, (_, session) in enumerate(pairs) for turn in session.turns}
    records: dict[int, list[Record]] = {number: [] for number in range(len(pairs))}
    for exchange in measurement.exchanges:
        if not exchange.warmup:
            records[asked[id(exchange.asked)]].append(record_of(exchange, measurement.started_at))
    return [_outcome(attempts[number], measured(found)) for number, found in records.items()]


def _session(attempt: Attempt, forced: bool) -> Session:
    session = session_of(attempt, 0)
    turns = zip(session.turns, attempt.trace.served_calls, strict=True)
    return replace(session, offset_s=0.0, turns=tuple(_turn(turn, call, forced) for turn, call in turns))


def _turn(turn: Turn, call: ModelCall, forced: bool) -> Turn:
    """Asking for as many tokens as were recorded; a grammar or a tool's call ends where it ends."""
    if call.completion_tokens is None:
        return turn
    body: dict[str, Any] = {**turn.body, "max_tokens": call.completion_tokens}
    if forced and not _constrained(turn.body):
        body["ignore_eos"] = True
    return replace(turn, body=body)


def _constrained(body: Mapping[str, Any]) -> bool:
    return bool(body.get("response_format") or body.get("tools") or body.get("stop"))


def _outcome(attempt: Attempt, records: Sequence[Record]) -> Outcome:
    """The attempt as it went this time."""
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
