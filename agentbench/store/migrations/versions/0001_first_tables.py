"""The first tables: runs, cases, attempts, model calls, tool calls, scores."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _runs()
    _cases()
    _attempts()
    _model_calls()
    _tool_calls()
    _scores()


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _optional_text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


def _integers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _of_attempt() -> list[sa.Column[int]]:
    attempt = sa.ForeignKey("attempts.id")
    return [
        sa.Column("attempt_id", BIG_KEY, attempt, primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True),
    ]


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("suite", "suite_version", "suite_path", "suite_hash", "config", "config_hash", "case_ids"),
        *_integers("repeats"),
        *_text("label", "environment", "status"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_runs_label", "runs", ["label"])
    op.create_index("ix_runs_created_at", "runs", ["created_at"])


def _cases() -> None:
    op.create_table(
        "cases",
        sa.Column("digest", sa.Text, primary_key=True),
        *_text("case_id", "cluster", "messages", "tools", "expected", "metadata"),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", BIG_KEY, primary_key=True),
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("case_digest", sa.Text, sa.ForeignKey("cases.digest"), nullable=False),
        *_text("case_id", "cluster"),
        *_integers("repeat", "seed", "tries", "started_at", "ended_at", "wall_anchor_ns"),
        *_text("output"),
        *_optional_text("failure_kind", "failure_message", "failure_detail"),
        sa.Column("passed", sa.Boolean),
        sa.UniqueConstraint("run_id", "case_id", "repeat", name="attempts_run_case_repeat"),
    )


def _model_calls() -> None:
    op.create_table(
        "model_calls",
        *_of_attempt(),
        *_text("messages", "request", "reply"),
        *_optional_text("finish_reason"),
        *_integers("intended_at", "sent_at", "ended_at"),
        *_text("chunk_at", "chunk_tokens"),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        *_optional_text("error"),
    )


def _tool_calls() -> None:
    op.create_table(
        "tool_calls",
        *_of_attempt(),
        *_text("call_id", "name", "arguments"),
        *_integers("started_at", "ended_at"),
        sa.Column("executed", sa.Boolean, nullable=False),
        *_optional_text("result", "error"),
    )


def _scores() -> None:
    op.create_table(
        "scores",
        *_of_attempt(),
        *_text("name"),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        *_text("reason"),
    )
