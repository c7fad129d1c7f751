"""The tables: runs, cases, attempts, what an attempt is made of, and tuning studies.

Raw facts only; every metric is derived from them (agentbench.stats). `*_at` columns are nanoseconds of the clock of the
process that ran the attempt, and `attempts.wall_anchor_ns` puts them on the wall clock. Optuna keeps what its sampler
knows in tables of its own, in the same database.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Double, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from agentbench.store.columns import BigKey, Json, LosslessText, UtcTime


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: LosslessText,
        float: Double,
        datetime: UtcTime,
        int: BigInteger,
    }


class RunRow(Base):
    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str]
    suite_version: Mapped[str]
    suite_path: Mapped[str]
    suite_hash: Mapped[str]
    config: Mapped[Any] = mapped_column(Json, nullable=False)
    config_hash: Mapped[str]
    case_ids: Mapped[Any] = mapped_column(Json, nullable=False)
    repeats: Mapped[int]
    kind: Mapped[str]
    label: Mapped[str] = mapped_column(index=True)
    environment: Mapped[Any] = mapped_column(Json, nullable=False)
    status: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]


class CaseRow(Base):
    """A case by the SHA-256 of its content: a case that did not change between runs is kept once."""

    __tablename__ = "cases"

    digest: Mapped[str] = mapped_column(primary_key=True)
    case_id: Mapped[str]
    cluster: Mapped[str]
    messages: Mapped[Any] = mapped_column(Json, nullable=False)
    tools: Mapped[Any] = mapped_column(Json, nullable=False)
    expected: Mapped[Any] = mapped_column(Json, nullable=False)
    case_metadata: Mapped[Any] = mapped_column("metadata", Json, nullable=False)
    user: Mapped[Any] = mapped_column("user_script", Json, nullable=False)


class AttemptRow(Base):
    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("run_id", "case_id", "repeat", name="attempts_run_case_repeat"),
        Index("attempts_run_verdict", "run_id", "failure_kind", "passed"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    case_digest: Mapped[str] = mapped_column(ForeignKey("cases.digest"))
    case_id: Mapped[str]
    cluster: Mapped[str]
    repeat: Mapped[int]
    seed: Mapped[int]
    tries: Mapped[int]
    started_at: Mapped[int]
    ended_at: Mapped[int]
    wall_anchor_ns: Mapped[int]
    output: Mapped[str]
    state: Mapped[Any] = mapped_column("end_state", Json, nullable=False)
    cold_start_ns: Mapped[int | None]
    failure_kind: Mapped[str | None]
    failure_message: Mapped[str | None]
    failure_detail: Mapped[str | None]
    passed: Mapped[bool | None]

    model_calls: Mapped[list["ModelCallRow"]] = relationship(order_by="ModelCallRow.position")
    tool_calls: Mapped[list["ToolCallRow"]] = relationship(order_by="ToolCallRow.position")
    user_turns: Mapped[list["UserTurnRow"]] = relationship(order_by="UserTurnRow.position")
    scores: Mapped[list["ScoreRow"]] = relationship(order_by="ScoreRow.position")


class ModelCallRow(Base):
    """One request to a model. `position` counts the attempt's steps, model and tool calls together."""

    __tablename__ = "model_calls"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    messages: Mapped[Any] = mapped_column(Json, nullable=False)
    request: Mapped[Any] = mapped_column(Json, nullable=False)
    reply: Mapped[Any] = mapped_column(Json, nullable=False)
    finish_reason: Mapped[str | None]
    intended_at: Mapped[int]
    sent_at: Mapped[int]
    ended_at: Mapped[int]
    chunk_at: Mapped[Any] = mapped_column(Json, nullable=False)
    chunk_tokens: Mapped[Any] = mapped_column(Json, nullable=False)
    silent_chunks: Mapped[int]
    prompt_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    error: Mapped[str | None]


class ToolCallRow(Base):
    __tablename__ = "tool_calls"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    call_id: Mapped[str]
    name: Mapped[str]
    arguments: Mapped[Any] = mapped_column(Json, nullable=False)
    started_at: Mapped[int]
    ended_at: Mapped[int]
    executed: Mapped[bool]
    result: Mapped[str | None]
    error: Mapped[str | None]


class UserTurnRow(Base):
    """What a simulated user said, at its place among the attempt's steps."""

    __tablename__ = "user_turns"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    messages: Mapped[Any] = mapped_column(Json, nullable=False)
    state: Mapped[Any] = mapped_column(Json, nullable=False)
    started_at: Mapped[int]
    ended_at: Mapped[int]


class ScoreRow(Base):
    __tablename__ = "scores"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    value: Mapped[float]
    passed: Mapped[bool | None]
    reason: Mapped[str]


class LabelRow(Base):
    """A person's verdict on an attempt; each reviewer has one, the last they gave."""

    __tablename__ = "labels"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    case_id: Mapped[str] = mapped_column(primary_key=True)
    repeat: Mapped[int] = mapped_column(primary_key=True)
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    passed: Mapped[bool]
    comment: Mapped[str]
    created_at: Mapped[datetime]


class BaselineRow(Base):
    """The run that a suite's later runs are held against, by name."""

    __tablename__ = "baselines"

    suite: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[datetime]


class SupersededBaselineRow(Base):
    """A run that was a suite's baseline of this name from `created_at` until another one took its place."""

    __tablename__ = "superseded_baselines"

    suite: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))


class TagRow(Base):
    __tablename__ = "run_tags"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)


class NoteRow(Base):
    """What people wrote about a run."""

    __tablename__ = "run_notes"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    text: Mapped[str]
    updated_at: Mapped[datetime]


class StudyRow(Base):
    __tablename__ = "tuning_studies"

    name: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str]
    suite_path: Mapped[str]
    suite_hash: Mapped[str]
    document: Mapped[Any] = mapped_column(Json, nullable=False)
    document_hash: Mapped[str]
    split: Mapped[Any] = mapped_column(Json, nullable=False)
    status: Mapped[str]
    seconds: Mapped[float]
    verdict: Mapped[Any] = mapped_column(Json, nullable=False)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class CandidateRow(Base):
    """What a trial of a study tries, and what came of it."""

    __tablename__ = "tuning_candidates"

    study: Mapped[str] = mapped_column(ForeignKey("tuning_studies.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    settings: Mapped[Any] = mapped_column(Json, nullable=False)
    worker: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    end: Mapped[str | None] = mapped_column("ended_as")
    result: Mapped[Any] = mapped_column(Json, nullable=False)
    ended_at: Mapped[datetime | None]


class StudyRunRow(Base):
    """The runs of a study, found by what they answer and how they were served."""

    __tablename__ = "tuning_runs"

    study: Mapped[str] = mapped_column(ForeignKey("tuning_studies.name"), primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    answers: Mapped[str] = mapped_column(primary_key=True)
    config_hash: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))


class ProposalRow(Base):
    """An instruction that a model proposed, and how it did on its minibatch."""

    __tablename__ = "tuning_proposals"

    study: Mapped[str] = mapped_column(ForeignKey("tuning_studies.name"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    parent: Mapped[str | None]
    minibatch: Mapped[Any] = mapped_column(Json, nullable=False)
    parent_score: Mapped[float | None]
    score: Mapped[float | None]
    accepted: Mapped[bool]
    note: Mapped[str]
    created_at: Mapped[datetime]


class ReplayRow(Base):
    """What recorded traces took when they were sent again to a server with other lossless knobs."""

    __tablename__ = "tuning_replays"

    study: Mapped[str] = mapped_column(ForeignKey("tuning_studies.name"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    result: Mapped[Any] = mapped_column(Json, nullable=False)
    created_at: Mapped[datetime]


class StudyTagRow(Base):
    __tablename__ = "tuning_tags"

    study: Mapped[str] = mapped_column(ForeignKey("tuning_studies.name"), primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)


class StudyNoteRow(Base):
    """What people wrote about a study."""

    __tablename__ = "tuning_notes"

    study: Mapped[str] = mapped_column(ForeignKey("tuning_studies.name"), primary_key=True)
    text: Mapped[str]
    updated_at: Mapped[datetime]
