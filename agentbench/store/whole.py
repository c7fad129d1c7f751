"""Whole attempts with their cases, a few hundred in memory at a time, and a whole run put in at once."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session, selectinload

from agentbench.core.attempt import Attempt, Label
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.store.batch import insert_attempts
from agentbench.store.labels import label_values
from agentbench.store.rows import attempt_of, case_of, run_row
from agentbench.store.tables import AttemptRow, CaseRow, LabelRow

WHOLE_AT_ONCE = 200


def whole_attempts(run_id: str) -> Select[Any]:
    """The query for attempts with all that belongs to them, in five queries for every few hundred of them."""
    parts = (AttemptRow.model_calls, AttemptRow.tool_calls, AttemptRow.user_turns, AttemptRow.scores)
    return select(AttemptRow).where(AttemptRow.run_id == run_id).options(*(selectinload(part) for part in parts))


def with_cases(session: Session, run_id: str) -> Iterator[tuple[Attempt, Case]]:
    """The run's attempts in the order they were stored, as they were stored."""
    last = 0
    while True:
        query = whole_attempts(run_id).where(AttemptRow.id > last).order_by(AttemptRow.id).limit(WHOLE_AT_ONCE)
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
    """Inserts a run that is not there yet, and all that belongs to it."""
    session.add(run_row(run))
    session.flush()
    attempts: list[tuple[Attempt, Case]] = []
    labels: list[Label] = []
    for part in parts:
        if isinstance(part, Label):
            labels.append(part)
        else:
            attempts.append(part)
        if len(attempts) >= WHOLE_AT_ONCE:
            insert_attempts(session, run.id, attempts, frozenset(), again=False)
            attempts = []
    if attempts:
        insert_attempts(session, run.id, attempts, frozenset(), again=False)
    if labels:
        session.execute(insert(LabelRow), [label_values(run.id, label) for label in labels])
