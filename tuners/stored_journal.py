"""A study's journal in the store, by which several workers, and later starts, know of each other's candidates."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agentbench.store import Store
from agentbench.study import CandidateRecord
from tuners.candidate import Candidate, candidate_of_json
from tuners.space import Settings

SILENT = timedelta(minutes=15)
"""A worker of another machine that has said nothing for so long is taken to be gone."""


def this_worker() -> str:
    return f"{platform.node()}:{os.getpid()}"


class StoredJournal:
    """One worker's."""

    def __init__(self, store: Store, study: str) -> None:
        self._studies = store.studies
        self._study = study
        self._worker = this_worker()
        self._records: dict[int, CandidateRecord] = {}

    def ended(self) -> Sequence[Candidate]:
        records = self._studies.candidates(self._study)
        return [candidate_of_json(record.result) for record in records if record.end is not None]

    def abandoned(self) -> Mapping[int, Settings]:
        records = self._studies.candidates(self._study)
        return {
            record.number: record.settings
            for record in records
            if record.end is None and record.number not in self._records
            # Our own name on a candidate that we did not begin is that of a process before us.
            if record.worker == self._worker or not _at_work(record)
        }

    def begun(self) -> Mapping[int, Settings]:
        return {record.number: record.settings for record in self._studies.candidates(self._study)}

    def begin(self, number: int, settings: Settings) -> None:
        now = datetime.now(UTC)
        record = CandidateRecord(
            study=self._study, number=number, settings=settings, worker=self._worker, started_at=now, seen_at=now
        )
        self._records[number] = record
        self._studies.keep_candidate(record)

    def go_on(self, number: int) -> None:
        self._studies.touch(self._study, number)

    def end(self, candidate: Candidate) -> None:
        now = datetime.now(UTC)
        record = replace(
            self._records[candidate.number],
            settings=candidate.settings,
            end=candidate.end,
            result=candidate.to_json(),
            seen_at=now,
            ended_at=now,
        )
        self._studies.keep_candidate(record)


def _at_work(record: CandidateRecord) -> bool:
    """Whether its worker is still there: by its process on this machine, by when it was seen on another."""
    host, _, pid = record.worker.rpartition(":")
    if host != platform.node():
        return datetime.now(UTC) - record.seen_at < SILENT
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
