"""A tuning study with its candidates and its runs, as it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

StudyStatus = Literal["running", "finished", "interrupted"]
Purpose = Literal["search", "final", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A study as it was asked for, and how far it has come.

    `document` is the content of its file with what `--set` changed, `suite_path` the suite it found. `split` has the
    case ids of each side. `seconds` is the wall time that its search has taken so far, over all its starts.
    `verdict` is empty until there is one.
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
    """A candidate of a study; `end` is None while `worker` is at work on it.

    `result` is what the search keeps of one that ended. `seen_at` is when its worker last said that it goes on.
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
    """What a model proposed for the `slot` of the parameter at `path`, on the try of this `number` (from 0).

    `text` is as it was tried, `parent` the text it was to better. The scores are means over the cases of `minibatch`,
    None where that was not answered. `note` says why a proposal was not tried, or broke.
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

    `answers` is the hash of all that decides what its attempts answer, seed included: runs with the same one have the
    same answers. `config_hash` is that of its whole configuration, which decides how long they take too.
    """

    study: str
    purpose: Purpose
    answers: str
    config_hash: str
    run_id: str
