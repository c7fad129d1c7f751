"""Turns of a simulated user, the tools' end state, verdicts still to come, people's labels, baselines."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("cases", sa.Column("user_script", sa.Text, nullable=False, server_default="{}"))
    op.add_column("attempts", sa.Column("end_state", sa.Text, nullable=False, server_default="null"))
    op.add_column("attempts", sa.Column("cold_start_ns", sa.BigInteger))
    with op.batch_alter_table("scores") as scores:
        scores.alter_column("passed", existing_type=sa.Boolean(), nullable=True)
    _user_turns()
    _labels()
    _baselines()


def _user_turns() -> None:
    op.create_table(
        "user_turns",
        sa.Column("attempt_id", BIG_KEY, sa.ForeignKey("attempts.id"), primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
    )


def _labels() -> None:
    op.create_table(
        "labels",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("case_id", sa.Text, primary_key=True),
        sa.Column("repeat", sa.BigInteger, primary_key=True),
        sa.Column("reviewer", sa.Text, primary_key=True),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )


def _baselines() -> None:
    op.create_table(
        "baselines",
        sa.Column("suite", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
