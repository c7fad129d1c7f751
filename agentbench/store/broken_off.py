"""Runs whose process was killed: it could not say how they ended."""

from collections import Counter

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agentbench.processes import has_ended
from agentbench.store.tables import AttemptRow, RunRow


def abandoned(session: Session) -> list[str]:
    """The runs that are running by their status, and whose process has ended."""
    query = select(RunRow.id, RunRow.environment).where(RunRow.status == "running")
    return [run_id for run_id, environment in session.execute(query) if has_ended(environment or {})]


def settle(session: Session, run_ids: list[str]) -> None:
    """Finished where every attempt is there, else interrupted. When that was is not known."""
    count = select(AttemptRow.run_id, func.count()).where(AttemptRow.run_id.in_(run_ids)).group_by(AttemptRow.run_id)
    done: Counter[str] = Counter()
    for run_id, number in session.execute(count):
        done[run_id] = number
    for row in session.scalars(select(RunRow).where(RunRow.id.in_(run_ids), RunRow.status == "running")):
        row.status = "finished" if done[row.id] >= len(row.case_ids) * row.repeats else "interrupted"
