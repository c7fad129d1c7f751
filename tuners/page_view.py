"""What a study's page shows, from the store."""

from agentbench.errors import UserError
from agentbench.store import Store
from agentbench.suite import load_suite
from tuners.candidate import Candidate
from tuners.changed_cases import Changed, changed_cases
from tuners.configuration import value_at
from tuners.front import front
from tuners.optuna_storage import importance, opened_trials
from tuners.page import StudyView
from tuners.stored_journal import ended_candidates
from tuners.study_file import StudyFile, checked_study
from tuners.verdict import Verdict, verdict_of_json


def study_view(name: str, store: Store, db: str | None) -> StudyView:
    """`UserError` when there is no study of this name."""
    record = store.studies.get(name)
    file = checked_study(record.document, lambda location: f"study {name}")
    candidates: list[Candidate] = ended_candidates(store, name)
    verdict = verdict_of_json(record.verdict) if record.verdict else None
    with opened_trials(db, name) as trials:
        shares = importance(trials)
    records = store.studies.candidates(name)
    return StudyView(
        record=record,
        file=file,
        candidates=candidates,
        ended={each.number: each.ended_at for each in records if each.ended_at is not None},
        front=[each.number for each in front(candidates, file.objectives)],
        importance=shares,
        verdict=verdict,
        before=_before(file, verdict),
        changed=_changed(store, file, verdict),
    )


def _changed(store: Store, file: StudyFile, verdict: Verdict | None) -> list[Changed]:
    """Of the winner's and the baseline's run on test; the questions only where the suite is still there."""
    if verdict is None or not verdict.runs:
        return []
    try:
        cases = {case.id: case for case in load_suite(file.suite).cases}
    except UserError:
        cases = {}
    return changed_cases(store, verdict.runs["winner"], verdict.runs["baseline"], cases)


def _before(file: StudyFile, verdict: Verdict | None) -> dict[str, object]:
    """The baseline's values of what the winner sets: the suite's own where it is still there and says nothing else."""
    paths = verdict.settings if verdict else {}
    try:
        suite = load_suite(file.suite)
        return {path: value_at(suite, file.baseline, path) for path in paths}
    except UserError:
        return {path: file.baseline[path] for path in paths if path in file.baseline}
