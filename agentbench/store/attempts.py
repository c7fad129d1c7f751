"""Writes attempts to the database and reads them, a few hundred at a time.

They are stored in one transaction. They are read in full with their cases, or without messages, replies and tool
results.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Select, Text, func, insert, select, text, type_coerce
from sqlalchemy.orm import Session, selectinload

from agentbench.core.attempt import Attempt, Label, Score
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.core.trace import Failure, ModelCall, Step, ToolCall, Trace, UserTurn
from agentbench.store.annotations import label_values
from agentbench.store.rows import (
    attempt_of,
    attempt_values,
    case_of,
    case_values,
    insert_new,
    run_row,
    score_values,
    step_values,
)
from agentbench.store.tables import (
    AttemptRow,
    Base,
    CaseRow,
    LabelRow,
    ModelCallRow,
    ScoreRow,
    ToolCallRow,
    UserTurnRow,
)

Key = tuple[str, int]


def insert_attempts(
    session: Session,
    run_id: str,
    attempts: Sequence[tuple[Attempt, Case]],
    stored_cases: frozenset[str],
    *,
    again: bool,
) -> tuple[set[Key], set[str]]:
    """Inserts the attempts that the run does not have yet, and their cases.

    `stored_cases` has the digests of cases that are certainly in the database. Returns the keys that the run had
    before, and the digests of all these cases. With `again` the same attempts may be stored already, since a
    transaction may have been committed although its connection broke. They do not count as keys that the run had
    before.
    """
    values = [case_values(case) for _, case in attempts]
    digests = [str(each["digest"]) for each in values]
    fresh = {digest: each for digest, each in zip(digests, values, strict=True) if digest not in stored_cases}
    stored, foreign = _stored(session, run_id, [attempt for attempt, _ in attempts])
    new = [
        (attempt, digest)
        for (attempt, _), digest in zip(attempts, digests, strict=True)
        if (attempt.case_id, attempt.repeat) not in stored
    ]
    if fresh:
        insert_new(session, CaseRow, list(fresh.values()))
    for table, rows in _rows(session, run_id, new):
        session.execute(insert(table.__table__), rows)  # type: ignore[arg-type]
    return foreign if again else stored, set(digests)


def _rows(
    session: Session, run_id: str, attempts: Sequence[tuple[Attempt, str]]
) -> Iterator[tuple[type[Base], list[dict[str, Any]]]]:
    """The rows for each table that gets any; attempts come before the rows that refer to them."""
    if not attempts:
        return
    parts: dict[type[Base], list[dict[str, Any]]] = {table: [] for table in TABLES}
    for number, (attempt, digest) in zip(_reserve(session, len(attempts)), attempts, strict=True):
        parts[AttemptRow].append({"id": number, **attempt_values(run_id, attempt, digest)})
        for position, step in enumerate(attempt.trace.steps):
            table, values = step_values(step)
            parts[table].append({"attempt_id": number, "position": position, **values})
        for position, score in enumerate(attempt.scores):
            parts[ScoreRow].append({"attempt_id": number, **score_values(position, score)})
    yield from ((table, rows) for table, rows in parts.items() if rows)


TABLES = (AttemptRow, ModelCallRow, ToolCallRow, UserTurnRow, ScoreRow)


def _stored(session: Session, run_id: str, attempts: Sequence[Attempt]) -> tuple[set[Key], set[Key]]:
    """The stored keys of the run, and those among them that belong to another attempt, with another start time."""
    ours = {(each.case_id, each.repeat): each.wall_anchor_ns + each.started_at for each in attempts}
    query = select(AttemptRow.case_id, AttemptRow.repeat, AttemptRow.wall_anchor_ns, AttemptRow.started_at).where(
        AttemptRow.run_id == run_id, AttemptRow.case_id.in_({case_id for case_id, _ in ours})
    )
    found = {(case_id, repeat): anchor + at for case_id, repeat, anchor, at in session.execute(query)}
    stored = found.keys() & ours.keys()
    return stored, {key for key in stored if found[key] != ours[key]}


def _reserve(session: Session, count: int) -> list[int]:
    """Keys that no other writer will use: SQLite allows one writer at a time, PostgreSQL has a sequence."""
    if session.get_bind().dialect.name == "postgresql":
        query = text("SELECT nextval(pg_get_serial_sequence('attempts', 'id')) FROM generate_series(1, :count)")
        return [int(key) for key in session.execute(query, {"count": count}).scalars()]
    last = session.execute(text("SELECT max(id) FROM attempts")).scalar() or 0
    return list(range(last + 1, last + 1 + count))


FULL_CHUNK = 200


def full_attempts(run_id: str) -> Select[Any]:
    """The query for attempts with all their parts: five SQL queries for every few hundred."""
    parts = (AttemptRow.model_calls, AttemptRow.tool_calls, AttemptRow.user_turns, AttemptRow.scores)
    return select(AttemptRow).where(AttemptRow.run_id == run_id).options(*(selectinload(part) for part in parts))


def with_cases(session: Session, run_id: str) -> Iterator[tuple[Attempt, Case]]:
    """The run's attempts with their cases, unchanged and in the order in which they were stored."""
    last = 0
    while True:
        query = full_attempts(run_id).where(AttemptRow.id > last).order_by(AttemptRow.id).limit(FULL_CHUNK)
        rows = session.scalars(query).all()
        if not rows:
            return
        digests = {row.case_digest for row in rows}
        found = session.scalars(select(CaseRow).where(CaseRow.digest.in_(digests)))
        cases = {row.digest: case_of(row) for row in found}
        yield from [(attempt_of(row), cases[row.case_digest]) for row in rows]
        last = rows[-1].id
        session.expunge_all()


def insert_run(session: Session, run: Run, parts: Iterable[tuple[Attempt, Case] | Label]) -> None:
    """Inserts a new run with all its parts."""
    session.add(run_row(run))
    session.flush()
    attempts: list[tuple[Attempt, Case]] = []
    labels: list[Label] = []
    for part in parts:
        if isinstance(part, Label):
            labels.append(part)
        else:
            attempts.append(part)
        if len(attempts) >= FULL_CHUNK:
            insert_attempts(session, run.id, attempts, frozenset(), again=False)
            attempts = []
    if attempts:
        insert_attempts(session, run.id, attempts, frozenset(), again=False)
    if labels:
        session.execute(insert(LabelRow), [label_values(run.id, label) for label in labels])


MEASURED_CHUNK = 500
START = 300
"""Characters to read of a request's JSON: this program writes the model's name first."""
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
    """The run's attempts in the order of their keys, read in chunks to bound memory."""
    last = 0
    while True:
        query: Any = select(*ATTEMPT).where(AttemptRow.run_id == run_id, AttemptRow.id > last)
        rows = session.execute(query.order_by(AttemptRow.id).limit(MEASURED_CHUNK)).all()
        if not rows:
            return
        yield from attempts_of(session, rows)
        last = rows[-1].id


def attempts_of(session: Session, rows: Sequence[Row[Any]]) -> Iterator[Attempt]:
    """The attempts for rows of the columns `ATTEMPT`, in order."""
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
        # Share one string when they are equal, as they mostly are, to save memory.
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
    """Reads the requests in full whose start does not contain the model's name."""
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
