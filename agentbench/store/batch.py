"""Many attempts in one transaction, by a few statements over all of them."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.store.insert import insert_new
from agentbench.store.rows import attempt_values, case_values, score_values, step_values
from agentbench.store.tables import (
    AttemptRow,
    Base,
    CaseRow,
    ModelCallRow,
    ScoreRow,
    ToolCallRow,
    UserTurnRow,
)

Key = tuple[str, int]


def insert_attempts(
    session: Session, run_id: str, attempts: Sequence[tuple[Attempt, Case]], known: frozenset[str], *, again: bool
) -> tuple[set[Key], set[str]]:
    """Inserts the attempts that the run does not have yet, and their cases.

    `known` has the digests of cases that are in the database for sure. Gives the keys that the run had before, and the
    digests of all these cases. With `again` these very attempts may be there: a transaction whose end was lost with
    its connection may have been committed. They are not among those keys.
    """
    values = [case_values(case) for _, case in attempts]
    digests = [str(each["digest"]) for each in values]
    fresh = {digest: each for digest, each in zip(digests, values, strict=True) if digest not in known}
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
    """The rows of each table that has any, attempts before what belongs to them."""
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
    """The keys that the run has, and those among them that are not these very attempts, by when they began."""
    ours = {(each.case_id, each.repeat): each.wall_anchor_ns + each.started_at for each in attempts}
    query = select(AttemptRow.case_id, AttemptRow.repeat, AttemptRow.wall_anchor_ns, AttemptRow.started_at).where(
        AttemptRow.run_id == run_id, AttemptRow.case_id.in_({case_id for case_id, _ in ours})
    )
    found = {(case_id, repeat): anchor + at for case_id, repeat, anchor, at in session.execute(query)}
    stored = found.keys() & ours.keys()
    return stored, {key for key in stored if found[key] != ours[key]}


def _reserve(session: Session, count: int) -> list[int]:
    """Keys that no other writer will use: SQLite has one writer at a time, PostgreSQL a sequence."""
    if session.get_bind().dialect.name == "postgresql":
        query = text("SELECT nextval(pg_get_serial_sequence('attempts', 'id')) FROM generate_series(1, :count)")
        return [int(key) for key in session.execute(query, {"count": count}).scalars()]
    last = session.execute(text("SELECT max(id) FROM attempts")).scalar() or 0
    return list(range(last + 1, last + 1 + count))
