"""Baselines by name: which run is one, and which were before it."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agentbench.core.errors import UserError
from agentbench.store.reference import find_run
from agentbench.store.tables import BaselineRow, SupersededBaselineRow


def set_baseline(session: Session, suite: str, name: str, run_id: str) -> None:
    """Makes the run the baseline; the one before is kept as superseded."""
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
