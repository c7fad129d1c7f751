"""The journal of a study: its candidates from their beginning to their end, kept for every worker and for later starts.

A worker is a process on a machine.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from agentbench.core.study import CandidateRecord
from agentbench.store import Store
from tuners.search.candidate import Candidate, candidate_of_json
from tuners.space.space import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a candidate is that has not ended: what it had cost when it began `rung`, and what is known of it.

    `had` is how many attempts at that rung's cases there were then, under its own settings: what there is more of them
    by now was made for it, by whichever process.
    """

    rung: int
    had: int
    case_runs: int
    seconds: float
    candidate: Candidate


class Journal(Protocol):
    """Keeps candidates from their beginning to their end, for this worker and others."""

    def news(self) -> Sequence[Candidate]:
        """The candidates, of any worker, that have ended since this was asked last."""
        ...

    def begun(self) -> Mapping[int, Settings]:
        """Every candidate that has begun, ended or not, in the order of their beginnings."""
        ...

    def abandoned(self) -> Mapping[int, Settings]:
        """Those that have begun and not ended, and that nobody is at work on any more, in the order of their
        beginnings."""
        ...

    def claim(self, number: int, settings: Settings, most: int | None = None) -> bool:
        """This worker begins the candidate, or takes it over, with its settings, when it was abandoned.

        False when a worker has it, when it has ended, or when `most` candidates have begun and this would be one more.
        """
        ...

    def go_on(self, number: int, progress: Progress) -> None:
        """This worker is still at work on it, and so far."""
        ...

    def progress(self, number: int) -> Progress | None:
        """How far it was, by whichever worker; None when it is at its beginning, or has ended."""
        ...

    def end(self, candidate: Candidate) -> None: ...


class MemoryJournal:
    """A journal of this process; `abandon` forgets who was at work, as a new process would."""

    def __init__(self) -> None:
        self._ended: dict[int, Candidate] = {}
        self._begun: dict[int, Settings] = {}
        self._ours: set[int] = set()
        self._told: set[int] = set()
        self._progress: dict[int, Progress] = {}

    def abandon(self) -> None:
        self._ours.clear()
        self._told.clear()

    def news(self) -> Sequence[Candidate]:
        found = [self._ended[number] for number in sorted(self._ended.keys() - self._told)]
        self._told |= self._ended.keys()
        return found

    def begun(self) -> Mapping[int, Settings]:
        return dict(self._begun)

    def abandoned(self) -> Mapping[int, Settings]:
        left = self._begun.keys() - self._ended.keys() - self._ours
        return {number: settings for number, settings in self._begun.items() if number in left}

    def claim(self, number: int, settings: Settings, most: int | None = None) -> bool:
        known = number in self._begun
        if (
            number in self._ours
            or number in self._ended
            or (not known and most is not None and len(self._begun) >= most)
        ):
            return False
        self._begun.setdefault(number, settings)
        self._ours.add(number)
        return True

    def go_on(self, number: int, progress: Progress) -> None:
        assert number in self._ours
        self._progress[number] = progress

    def progress(self, number: int) -> Progress | None:
        return self._progress.get(number)

    def end(self, candidate: Candidate) -> None:
        self._ended[candidate.number] = candidate
        self._ours.discard(candidate.number)
        self._progress.pop(candidate.number, None)


def this_worker() -> str:
    return f"{platform.node()}:{os.getpid()}"


def is_here(worker: str) -> bool:
    """Whether it is of this machine."""
    return worker.rpartition(":")[0] == platform.node()


def is_there(worker: str) -> bool:
    """Whether its process runs; one of another machine is taken to."""
    if not is_here(worker):
        return True
    try:
        os.kill(int(worker.rpartition(":")[2]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


SILENT = timedelta(minutes=3)
"""A worker of another machine that has said nothing for so long is taken to be gone."""

VERDICT = -1
"""The number under which a worker claims the verdict: it is one more piece of work that only one may have."""


def ended_candidates(store: Store, study: str) -> list[Candidate]:
    """By number."""
    records = store.studies.candidates(study)
    return [candidate_of_json(record.result) for record in records if record.end is not None]


def reopen(store: Store, study: str, candidate: Candidate) -> None:
    """A candidate that ended goes on, with what it has cost so far."""
    progress = Progress(
        rung=-1,
        had=0,
        case_runs=candidate.case_runs,
        seconds=candidate.seconds,
        candidate=replace(candidate, end="unfinished", reason=""),
    )
    store.studies.reopen_candidate(study, candidate.number, this_worker(), asdict(progress))


class StoredJournal:
    """One worker's."""

    def __init__(self, store: Store, study: str) -> None:
        self._studies = store.studies
        self._study = study
        self._worker = this_worker()
        self._ours: dict[int, CandidateRecord] = {}
        self._told: set[int] = set()

    def news(self) -> Sequence[Candidate]:
        records = self._studies.candidates(self._study, ended=True, without=self._told)
        self._told |= {record.number for record in records}
        return [candidate_of_json(record.result) for record in records]

    def begun(self) -> Mapping[int, Settings]:
        return {record.number: record.settings for record in self._studies.begun(self._study)}

    def abandoned(self) -> Mapping[int, Settings]:
        records = self._studies.begun(self._study, ended=False)
        return {record.number: record.settings for record in records if self._is_abandoned(record)}

    def others(self) -> list[str]:
        """The workers that are at work on a candidate of this study, this one left out."""
        records = self._studies.begun(self._study, ended=False)
        return [each.worker for each in records if each.number not in self._ours and not self._is_abandoned(each)]

    def _is_abandoned(self, record: CandidateRecord) -> bool:
        # Our own name on a candidate that we did not begin is that of a process before us.
        return record.number not in self._ours and (record.worker == self._worker or not at_work(record))

    def claim(self, number: int, settings: Settings, most: int | None = None) -> bool:
        now = datetime.now(UTC)
        record = CandidateRecord(
            study=self._study, number=number, settings=settings, worker=self._worker, started_at=now, seen_at=now
        )
        left = self._studies.candidate(self._study, number)
        if left is not None:
            if left.end is not None or not self._is_abandoned(left):
                return False
            record = replace(record, started_at=left.started_at, settings=left.settings)
        if not self._studies.claim(record, left, most):
            return False
        self._ours[number] = record
        return True

    def claim_verdict(self) -> bool:
        """False when another worker gives it."""
        return self.claim(VERDICT, {})

    def go_on(self, number: int, progress: Progress) -> None:
        self._studies.keep_progress(self._study, number, asdict(progress))

    def progress(self, number: int) -> Progress | None:
        record = self._studies.candidate(self._study, number)
        return progress_of(record) if record is not None else None

    def beat(self) -> None:
        """Says that this worker is still at work on what it has begun."""
        self._studies.touch(self._study, list(self._ours))

    def end(self, candidate: Candidate) -> None:
        now = datetime.now(UTC)
        record = replace(
            self._ours.pop(candidate.number),
            settings=candidate.settings,
            end=candidate.end,
            result=candidate.to_json(),
            seen_at=now,
            ended_at=now,
        )
        self._studies.keep_candidate(record)


def progress_of(record: CandidateRecord) -> Progress | None:
    """How far a candidate is that has not ended."""
    if record.end is not None or not record.result:
        return None
    return Progress(**{**record.result, "candidate": candidate_of_json(record.result["candidate"])})


def candidate_so_far(record: CandidateRecord) -> Candidate | None:
    """What is known of a candidate, ended or not; None where nothing is."""
    if record.end is not None:
        return candidate_of_json(record.result)
    progress = progress_of(record)
    return progress.candidate if progress is not None else None


def at_work(record: CandidateRecord) -> bool:
    """Whether its worker is still there: by its process on this machine, by when it was seen on another."""
    return is_there(record.worker) if is_here(record.worker) else datetime.now(UTC) - record.seen_at < SILENT
