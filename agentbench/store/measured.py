"""Attempts without what was said in them, a few hundred in memory at a time."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Text, func, select, type_coerce
from sqlalchemy.orm import Session

from agentbench.core.attempt import Attempt, Score
from agentbench.core.trace import Failure, ModelCall, Step, ToolCall, Trace, UserTurn
from agentbench.store.tables import AttemptRow, ModelCallRow, ScoreRow, ToolCallRow, UserTurnRow

MEASURED_AT_ONCE = 500
START = 300
"""Characters of a request's JSON that are read: the model's name comes first in those that this program writes."""
MODEL = re.compile(r'\{"model":("(?:[^"\\]|\\.)*")[,}]')

ATTEMPT = (
    *(AttemptRow.id, AttemptRow.case_id, AttemptRow.cluster, AttemptRow.repeat, AttemptRow.seed, AttemptRow.tries),
    *(AttemptRow.started_at, AttemptRow.ended_at, AttemptRow.wall_anchor_ns, AttemptRow.cold_start_ns),
    *(AttemptRow.failure_kind, AttemptRow.failure_message, AttemptRow.passed),
)
CALL = (
    *(ModelCallRow.attempt_id, ModelCallRow.position, ModelCallRow.finish_reason, ModelCallRow.intended_at),
    *(ModelCallRow.sent_at, ModelCallRow.ended_at, ModelCallRow.chunk_at, ModelCallRow.chunk_tokens),
    ModelCallRow.silent_chunks,
    *(ModelCallRow.prompt_tokens, ModelCallRow.cached_tokens, ModelCallRow.completion_tokens, ModelCallRow.error),
    func.substr(type_coerce(ModelCallRow.request, Text), 1, START).label("request_start"),
)
TOOL = (
    *(ToolCallRow.attempt_id, ToolCallRow.position, ToolCallRow.name, ToolCallRow.started_at, ToolCallRow.ended_at),
    *(ToolCallRow.executed, ToolCallRow.error),
)
TURN = (UserTurnRow.attempt_id, UserTurnRow.position, UserTurnRow.started_at, UserTurnRow.ended_at)
SCORE = (ScoreRow.attempt_id, ScoreRow.name, ScoreRow.value, ScoreRow.passed)


def measured(session: Session, run_id: str) -> Iterator[Attempt]:
    """The run's attempts in the order of their keys; each chunk is read on its own, so that no more is held."""
    last = 0
    while True:
        query: Any = select(*ATTEMPT).where(AttemptRow.run_id == run_id, AttemptRow.id > last)
        rows = session.execute(query.order_by(AttemptRow.id).limit(MEASURED_AT_ONCE)).all()
        if not rows:
            return
        yield from attempts_of(session, rows)
        last = rows[-1].id


def attempts_of(session: Session, rows: Sequence[Row[Any]]) -> Iterator[Attempt]:
    """The attempts of rows of the columns `ATTEMPT`, in their order."""
    ids = [row.id for row in rows]
    steps: dict[int, list[tuple[int, Step]]] = {}
    for columns, table, make in ((CALL, ModelCallRow, _call), (TOOL, ToolCallRow, _tool), (TURN, UserTurnRow, _turn)):
        for part in session.execute(select(*columns).where(table.attempt_id.in_(ids))):
            steps.setdefault(part.attempt_id, []).append((part.position, make(part)))
    _name_models(session, steps)
    scores: dict[int, list[Score]] = {}
    query = select(*SCORE).where(ScoreRow.attempt_id.in_(ids)).order_by(ScoreRow.attempt_id, ScoreRow.position)
    for part in session.execute(query):
        score = Score(name=part.name, value=part.value, passed=part.passed)
        scores.setdefault(part.attempt_id, []).append(score)
    for row in rows:
        ordered = tuple(step for _, step in sorted(steps.get(row.id, ()), key=lambda placed: placed[0]))
        yield _attempt(row, ordered, tuple(scores.get(row.id, ())))


def _attempt(row: Row[Any], steps: tuple[Step, ...], scores: tuple[Score, ...]) -> Attempt:
    kind = row.failure_kind
    return Attempt(
        case_id=row.case_id,
        # One text where they are equal, as they mostly are: a reader may keep both for every attempt.
        cluster=row.case_id if row.cluster == row.case_id else row.cluster,
        repeat=row.repeat,
        seed=row.seed,
        tries=row.tries,
        started_at=row.started_at,
        ended_at=row.ended_at,
        wall_anchor_ns=row.wall_anchor_ns,
        trace=Trace(steps=steps, cold_start_ns=row.cold_start_ns),
        failure=Failure(kind=kind, message=row.failure_message or "") if kind else None,
        scores=scores,
        passed=row.passed,
    )


def _name_models(session: Session, steps: dict[int, list[tuple[int, Step]]]) -> None:
    """Reads the requests whose start does not name the model."""
    for attempt_id, found in steps.items():
        for place, (position, step) in enumerate(found):
            if isinstance(step, ModelCall) and not step.request:
                request = session.get_one(ModelCallRow, (attempt_id, position)).request
                named = {"model": request["model"]} if isinstance(request, dict) and "model" in request else {}
                found[place] = position, replace(step, request=named)


def _call(row: Row[Any]) -> Step:
    named = MODEL.match(row.request_start)
    return ModelCall(
        messages=(),
        request={"model": json.loads(named[1])} if named else {},
        reply={},
        finish_reason=row.finish_reason,
        intended_at=row.intended_at,
        sent_at=row.sent_at,
        ended_at=row.ended_at,
        chunk_at=tuple(row.chunk_at),
        chunk_tokens=tuple(row.chunk_tokens),
        silent_chunks=row.silent_chunks,
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        completion_tokens=row.completion_tokens,
        error=row.error,
    )


def _tool(row: Row[Any]) -> Step:
    return ToolCall(
        call_id="",
        name=row.name,
        arguments={},
        started_at=row.started_at,
        ended_at=row.ended_at,
        executed=row.executed,
        error=row.error,
    )


def _turn(row: Row[Any]) -> Step:
    return UserTurn(messages=(), started_at=row.started_at, ended_at=row.ended_at)
