"""What each run is of: a suite, a part of one, failing cases of another run, or a study."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

RUNS = sa.table("runs", sa.column("id", sa.Text), sa.column("environment", sa.Text), sa.column("kind", sa.Text))


def upgrade() -> None:
    op.add_column("runs", sa.Column("kind", sa.Text, nullable=False, server_default="suite"))
    connection = op.get_bind()
    for run_id, environment in connection.execute(sa.select(RUNS.c.id, RUNS.c.environment)).all():
        if (kind := _kind(json.loads(environment))) != "suite":
            connection.execute(RUNS.update().where(RUNS.c.id == run_id).values(kind=kind))


def _kind(environment: Any) -> str:
    """As the run's environment has it, which was the only place that said it."""
    facts = environment if isinstance(environment, dict) else {}
    if "rerun_of" in facts:
        return "rerun"
    if "study" in facts:
        return "study"
    return "part" if "selected_of" in facts else "suite"
