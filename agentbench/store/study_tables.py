"""The tables of tuning studies. Optuna keeps what its sampler knows in tables of its own, in the same database."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from agentbench.store.columns import Json
from agentbench.store.tables import Base


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
