"""A tuning study with its candidates and its runs, as the store holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

StudyStatus = Literal["running", "finished", "interrupted"]
Purpose = Literal["search", "final", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A study's definition and its progress.

    `document` is the content of its file with the changes of `--set`; `suite_path` is the suite it found. `split` has
    the case ids of each side. `seconds` is the search's total wall time, over all its starts. `verdict` is empty until
    the study has one.
    """

    name: str
    suite: str
    suite_path: str
    suite_hash: str
    document: Mapping[str, Any]
    document_hash: str
    split: Mapping[str, tuple[str, ...]]
    status: StudyStatus = "running"
    seconds: float = 0.0
    verdict: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """A candidate of a study; `end` is None while `worker` evaluates it.

    `result` is the outcome that the search stores for a finished candidate. `seen_at` is the time of the worker's last
    heartbeat.
    """

    study: str
    number: int
    settings: Mapping[str, Any]
    worker: str
    started_at: datetime
    seen_at: datetime
    end: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRecord:
    """A model's proposal for the `slot` of the parameter at `path`, on try `number` (from 0).

    `text` is the proposed text in the form that was tried; `parent` is the text it should improve. The scores are means
    over the cases of `minibatch`, None when these were not answered. `note` says why a proposal failed or was not
    tried.
    """

    study: str
    path: str
    slot: int
    number: int
    text: str = ""
    parent: str | None = None
    minibatch: tuple[str, ...] = ()
    parent_score: float | None = None
    score: float | None = None
    accepted: bool = False
    note: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """A run that belongs to a study.

    `answers` is the hash of everything that decides the answers of its attempts, the seed included: runs with an equal
    hash have equal answers. `config_hash` is the hash of the whole configuration, which also decides the speed.
    """

    study: str
    purpose: Purpose
    answers: str
    config_hash: str
    run_id: str
