"""The journal of a study: the state of its candidates, stored for all workers and for later starts.

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
    """The state of a candidate in progress: its cost at the start of `rung`, and its results so far.

    `had` is the number of attempts at that rung's cases at that time, under the candidate's own settings. Later ones
    were run for it, by any process.
    """

    rung: int
    had: int
    case_runs: int
    seconds: float
    candidate: Candidate


class Journal(Protocol):
    """Stores candidates from their beginning to their end, for this worker and others."""

    def news(self) -> Sequence[Candidate]:
        """The candidates of any worker that have ended since the last call."""
        ...

    def begun(self) -> Mapping[int, Settings]:
        """Every candidate that has begun, ended or not, in order of their beginnings."""
        ...

    def abandoned(self) -> Mapping[int, Settings]:
        """Unfinished candidates without a live worker, in order of their beginnings."""
        ...

    def claim(self, number: int, settings: Settings, most: int | None = None) -> bool:
        """This worker begins the candidate with its settings, or takes it over when it was abandoned.

        False when another worker has it, when it has ended, or when it would exceed `most` candidates.
        """
        ...

    def go_on(self, number: int, progress: Progress) -> None:
        """Records that this worker is still evaluating the candidate, and its progress."""
        ...

    def progress(self, number: int) -> Progress | None:
        """The candidate's progress, by any worker; None when it has just begun or has ended."""
        ...

    def end(self, candidate: Candidate) -> None: ...


class MemoryJournal:
    """A journal in this process's memory; `abandon` forgets which worker has a candidate, as a restart would."""

    def __init__(self) -> None:
        self._ended: dict[int, Candidate] = {}
        self._begun: dict[int, Settings] = {}
        self._ours: set[int] = set()
        self._reported: set[int] = set()
        self._progress: dict[int, Progress] = {}

    def abandon(self) -> None:
        self._ours.clear()
        self._reported.clear()

    def news(self) -> Sequence[Candidate]:
        found = [self._ended[number] for number in sorted(self._ended.keys() - self._reported)]
        self._reported |= self._ended.keys()
        return found

    def begun(self) -> Mapping[int, Settings]:
        return dict(self._begun)

    def abandoned(self) -> Mapping[int, Settings]:
        left = self._begun.keys() - self._ended.keys() - self._ours
        return {number: settings for number, settings in self._begun.items() if number in left}

    def claim(self, number: int, settings: Settings, most: int | None = None) -> bool:
        has_begun = number in self._begun
        if (
            number in self._ours
            or number in self._ended
            or (not has_begun and most is not None and len(self._begun) >= most)
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
    """Whether the worker is on this machine."""
    return worker.rpartition(":")[0] == platform.node()


def is_there(worker: str) -> bool:
    """Whether the worker's process runs; a process on another machine is assumed to."""
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
"""A worker of another machine without a heartbeat for this long counts as gone."""

VERDICT = -1
"""The number under which a worker claims the verdict, which only one worker may give."""


def ended_candidates(store: Store, study: str) -> list[Candidate]:
    """The ended candidates by number."""
    records = store.studies.candidates(study)
    return [candidate_of_json(record.result) for record in records if record.end is not None]


def reopen(store: Store, study: str, candidate: Candidate) -> None:
    """Continues an ended candidate, with its cost so far."""
    progress = Progress(
        rung=-1,
        had=0,
        case_runs=candidate.case_runs,
        seconds=candidate.seconds,
        candidate=replace(candidate, end="unfinished", reason=""),
    )
    store.studies.reopen_candidate(study, candidate.number, this_worker(), asdict(progress))


class StoredJournal:
    """The journal of one worker, in the store."""

    def __init__(self, store: Store, study: str) -> None:
        self._studies = store.studies
        self._study = study
        self._worker = this_worker()
        self._ours: dict[int, CandidateRecord] = {}
        self._reported: set[int] = set()

    def news(self) -> Sequence[Candidate]:
        records = self._studies.candidates(self._study, ended=True, without=self._reported)
        self._reported |= {record.number for record in records}
        return [candidate_of_json(record.result) for record in records]

    def begun(self) -> Mapping[int, Settings]:
        return {record.number: record.settings for record in self._studies.begun(self._study)}

    def abandoned(self) -> Mapping[int, Settings]:
        records = self._studies.begun(self._study, ended=False)
        return {record.number: record.settings for record in records if self._is_abandoned(record)}

    def others(self) -> list[str]:
        """The other workers that are evaluating a candidate of this study."""
        records = self._studies.begun(self._study, ended=False)
        return [each.worker for each in records if each.number not in self._ours and not self._is_abandoned(each)]

    def _is_abandoned(self, record: CandidateRecord) -> bool:
        # Our own name on a candidate that we did not begin belongs to an earlier process.
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
        """Whether this worker gives the verdict; False when another one does."""
        return self.claim(VERDICT, {})

    def go_on(self, number: int, progress: Progress) -> None:
        self._studies.keep_progress(self._study, number, asdict(progress))

    def progress(self, number: int) -> Progress | None:
        record = self._studies.candidate(self._study, number)
        return progress_of(record) if record is not None else None

    def beat(self) -> None:
        """Records a heartbeat for this worker's candidates."""
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
    """The progress of an unfinished candidate."""
    if record.end is not None or not record.result:
        return None
    return Progress(**{**record.result, "candidate": candidate_of_json(record.result["candidate"])})


def candidate_so_far(record: CandidateRecord) -> Candidate | None:
    """The results of a candidate, ended or not; None when there are none."""
    if record.end is not None:
        return candidate_of_json(record.result)
    progress = progress_of(record)
    return progress.candidate if progress is not None else None


def at_work(record: CandidateRecord) -> bool:
    """Whether its worker is alive: by its process on this machine, by its last heartbeat on another one."""
    return is_there(record.worker) if is_here(record.worker) else datetime.now(UTC) - record.seen_at < SILENT
