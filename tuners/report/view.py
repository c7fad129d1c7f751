"""All figures of a study, read from the store, for the table, the JSON and the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentbench.core.study import ProposalRecord, StudyRecord
from agentbench.store import Store
from tuners.report.effects import Effect, effects_of
from tuners.report.words import proposal_json
from tuners.search.candidate import Candidate, front, front_so_far
from tuners.search.journal import candidate_so_far
from tuners.study.file import StudyFile, checked_study
from tuners.verdict.verdict import Verdict, verdict_of_json


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """A study's results.

    `candidates` are in order of their numbers, those in progress with their results so far. `ended` has the end time
    of each ended candidate, by number. `front` has the numbers of the candidates on the Pareto front. `effects` is by
    parameter.
    """

    record: StudyRecord
    file: StudyFile
    candidates: Sequence[Candidate]
    ended: Mapping[int, datetime]
    front: Sequence[int]
    effects: Mapping[str, Effect]
    proposals: Sequence[ProposalRecord]
    verdict: Verdict | None

    @property
    def winner(self) -> int | None:
        return self.verdict.winner if self.verdict else None

    @property
    def headline(self) -> str:
        """The numbers of candidates and case-runs, and the search's seconds."""
        runs = sum(each.case_runs for each in self.candidates)
        return f"{len(self.candidates)} candidates, {runs} case-runs, {self.record.seconds:.0f} s of search"

    def shown(self) -> list[Candidate]:
        """The candidates in the order of a table: those of the front first, then by quality."""
        return sorted(self.candidates, key=lambda each: (each.number not in self.front, not each.scores, -each.quality))

    def to_json(self) -> dict[str, Any]:
        """The study as JSON: times in seconds, fractions from 0 to 1."""
        record = self.record
        return {
            "name": record.name,
            "suite": record.suite,
            "status": record.status,
            "created_at": record.created_at.isoformat(),
            "finished_at": record.finished_at and record.finished_at.isoformat(),
            "search_s": record.seconds,
            "document": dict(record.document),
            "split": {side: list(ids) for side, ids in record.split.items()},
            "front": list(self.front),
            "effects": {path: effect.to_json() for path, effect in self.effects.items()},
            "proposals": [proposal_json(each) for each in self.proposals],
            "candidates": [each.to_json() for each in self.candidates],
            "verdict": self.verdict and self.verdict.to_json(),
        }


def study_view(name: str, store: Store) -> StudyView:
    """The results of the study of this name; `UserError` when there is none."""
    record = store.studies.get(name)
    file = checked_study(record.document, lambda location: f"study {name}")
    records = store.studies.candidates(name)
    candidates = [found for each in records if (found := candidate_so_far(each)) is not None]
    verdict = verdict_of_json(record.verdict) if record.verdict else None
    on_front = (front if verdict else front_so_far)(candidates, file.objectives)
    return StudyView(
        record=record,
        file=file,
        candidates=candidates,
        ended={each.number: each.ended_at for each in records if each.ended_at is not None},
        front=[each.number for each in on_front or front_so_far(candidates, file.objectives)],
        effects=effects_of(candidates, list(file.space)),
        proposals=store.studies.proposals(name),
        verdict=verdict,
    )
