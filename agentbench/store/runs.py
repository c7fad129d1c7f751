"""Resolves names of runs, sets baselines, and settles runs whose process was killed.

A name is an id, its start, the part after its last dash, a label, `latest` or `latest~N`. A label means its newest run;
`LABEL~N` is the N-th before that.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agentbench.core.errors import UserError, did_you_mean
from agentbench.core.run import STANDALONE
from agentbench.processes import has_ended
from agentbench.store.tables import AttemptRow, BaselineRow, RunRow, SupersededBaselineRow

LATEST = re.compile(r"latest(?:~(\d+))?")
BEFORE = re.compile(r"(.+)~(\d+)", re.DOTALL)
SHOWN = 8
"""Most runs that an error lists."""

NEWEST_FIRST = (RunRow.created_at.desc(), RunRow.id.desc())


def find_run(session: Session, reference: str, suite: str | None = None) -> RunRow:
    """The run of this name. An id takes precedence over a label, a label over the start of an id, and that over its
    end. With a `suite`, a label means runs of that suite.

    Raises `UserError` when the name matches no run, or several.
    """
    if not reference.strip():
        raise UserError("the name of the run is empty; give an id, its start or end, a label, latest or latest~N")
    if found := LATEST.fullmatch(reference):
        return _latest(session, reference, int(found[1] or 0))
    if exact := session.get(RunRow, reference):
        return exact
    if labelled := _labelled(session, reference, suite):
        return labelled
    for matches in (
        RunRow.id.startswith(reference, autoescape=True),
        RunRow.id.endswith(f"-{reference}", autoescape=True),
    ):
        rows = session.scalars(select(RunRow).where(matches).order_by(*NEWEST_FIRST).limit(SHOWN)).all()
        if len(rows) == 1:
            return rows[0]
        if rows:
            raise UserError(f"{reference!r} names several runs: {_listed(rows)}. Give more of the id.")
    raise _unknown(session, reference)


def _labelled(session: Session, reference: str, suite: str | None) -> RunRow | None:
    """The newest run of the label, or the N-th before it."""
    before = BEFORE.fullmatch(reference)
    for label, back in ((reference, 0), *([(before[1], int(before[2]))] if before else [])):
        query = select(RunRow).where(RunRow.label == label, *([RunRow.suite == suite] if suite else []))
        newest = session.scalars(query.order_by(*NEWEST_FIRST).offset(back).limit(1)).first()
        if label and newest is not None:
            return newest
    return None


def _latest(session: Session, reference: str, back: int) -> RunRow:
    """The newest run that a user started: reruns, and runs of a study, do not count."""
    query = select(RunRow).where(RunRow.kind.in_(STANDALONE)).order_by(*NEWEST_FIRST)
    row = session.scalars(query.offset(back).limit(1)).first()
    if row is None:
        raise _unknown(session, reference)
    return row


def _unknown(session: Session, reference: str) -> UserError:
    newest = session.scalars(select(RunRow).order_by(*NEWEST_FIRST).limit(200)).all()
    if not newest:
        return UserError(f"no run {reference!r}: the store has no runs yet. Make one: agentbench run SUITE.")
    names = [row.id for row in newest] + [row.label for row in newest if row.label]
    hint = did_you_mean(reference, names)
    return UserError(
        f"no run {reference!r}.{hint} Newest: {_listed(newest[:SHOWN])}."
        " Give an id, its start or end, a label (the newest of it), LABEL~N, latest or latest~N."
    )


def _listed(rows: Sequence[RunRow]) -> str:
    return ", ".join(f"{row.id} ({row.label})" if row.label else row.id for row in rows)


def set_baseline(session: Session, suite: str, name: str, run_id: str) -> None:
    """Makes the run the baseline; the previous one is recorded as superseded."""
    run = find_run(session, run_id)
    if run.suite != suite:
        raise UserError(f"run {run.id} is of suite {run.suite!r}; it can't be a baseline of {suite!r}")
    before = session.get(BaselineRow, (suite, name), with_for_update=True)
    if before is not None and before.run_id == run.id:
        return
    if before is not None:
        session.add(SupersededBaselineRow(suite=suite, name=name, run_id=before.run_id, created_at=before.created_at))
    session.merge(BaselineRow(suite=suite, name=name, run_id=run.id, created_at=datetime.now(UTC)))


def baselines(session: Session, suite: str | None) -> dict[tuple[str, str], str]:
    query = select(BaselineRow).order_by(BaselineRow.suite, BaselineRow.name)
    rows = session.scalars(query if suite is None else query.where(BaselineRow.suite == suite)).all()
    return {(row.suite, row.name): row.run_id for row in rows}


def superseded(session: Session, suite: str, name: str) -> list[tuple[str, datetime]]:
    table = SupersededBaselineRow
    query = select(table).where(table.suite == suite, table.name == name).order_by(table.created_at.desc())
    return [(row.run_id, row.created_at) for row in session.scalars(query)]


def abandoned(session: Session) -> list[str]:
    """The runs with status running whose process has ended."""
    query = select(RunRow.id, RunRow.environment).where(RunRow.status == "running")
    return [run_id for run_id, environment in session.execute(query) if has_ended(environment or {})]


def settle(session: Session, run_ids: list[str]) -> None:
    """Marks runs as finished when every attempt is stored, otherwise as interrupted. Their end time is unknown."""
    count = select(AttemptRow.run_id, func.count()).where(AttemptRow.run_id.in_(run_ids)).group_by(AttemptRow.run_id)
    done: Counter[str] = Counter()
    for run_id, number in session.execute(count):
        done[run_id] = number
    for row in session.scalars(select(RunRow).where(RunRow.id.in_(run_ids), RunRow.status == "running")):
        row.status = "finished" if done[row.id] >= len(row.case_ids) * row.repeats else "interrupted"
