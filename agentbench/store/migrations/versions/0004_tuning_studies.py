"""Tuning studies: the studies, their candidates, their runs, their proposals and their replays."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "tuning_studies",
        sa.Column("name", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("suite", "suite_path", "suite_hash")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("document", "document_hash", "split", "status")),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_table(
        "tuning_candidates",
        _study(),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_as", sa.Text, nullable=True),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_table(
        "tuning_runs",
        _study(),
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("purpose", "answers", "config_hash")),
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), nullable=False),
    )
    op.create_table(
        "tuning_proposals",
        _study(),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=True),
        sa.Column("minibatch", sa.Text, nullable=False),
        sa.Column("parent_score", sa.Double, nullable=True),
        sa.Column("score", sa.Double, nullable=True),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "tuning_replays",
        _study(),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )


def _study() -> "sa.Column[str]":
    return sa.Column("study", sa.Text, sa.ForeignKey("tuning_studies.name"), primary_key=True)
