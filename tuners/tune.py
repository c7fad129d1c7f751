"""A study from its first candidate to its verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentbench.errors import UserError
from agentbench.store import Store
from tuners.best_file import write_best
from tuners.budget import Spending
from tuners.candidate import BASELINE, Candidate
from tuners.climb import Climb
from tuners.live import LiveEvaluator, opened
from tuners.optuna_storage import opened_trials
from tuners.prepare import prepared_by
from tuners.search import Search
from tuners.stored_journal import StoredJournal
from tuners.study import Study
from tuners.trials import Trials, seeded
from tuners.verdict import Verdict, judge, verdict_of_json


class Watcher(Protocol):
    """Sees a study go on."""

    def spend(self, spending: Spending, evaluator: LiveEvaluator) -> None:
        """Where the budget and the cache are from now on."""
        ...

    def begin(self, phase: str) -> None: ...

    def climb(self, climb: Climb) -> None: ...

    def end(self, candidate: Candidate) -> None: ...

    def attempt(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What came of a study; `best` is the file of the winner's settings, None without one."""

    candidates: tuple[Candidate, ...]
    verdict: Verdict
    best: Path | None


async def tune(study: Study, store: Store, db: str | None, watcher: Watcher) -> Tuned:
    """Goes on from where the store says the study is, to its end; what it has of that already is not done again."""
    record = store.studies.get(study.name)
    if record.verdict:
        return Tuned(
            candidates=tuple(StoredJournal(store, study.name).ended()),
            verdict=(verdict := verdict_of_json(record.verdict)),
            best=_best(study, verdict),
        )
    store.studies.set_status(study.name, "running")
    evaluator = LiveEvaluator(
        study.suite,
        study.split,
        study.file.baseline,
        store,
        study.name,
        seed=study.file.seed,
        prices=study.file.prices,  # type: ignore[arg-type]
        traces=study.file.replay.attempts,
        on_attempt=watcher.attempt,
    )
    async with opened(evaluator):
        spending = Spending(study.file.budget, case_runs=evaluator.spent(), before=record.seconds)
        watcher.spend(spending, evaluator)
        candidates = await _searched(study, store, db, evaluator, spending, watcher)
        watcher.begin("verdict")
        verdict = await judge(study, study.plan(), evaluator, candidates, spending.seconds)
        store.studies.set_verdict(study.name, verdict.to_json())
    store.studies.set_status(study.name, "finished")
    return Tuned(candidates=tuple(candidates), verdict=verdict, best=_best(study, verdict))


def _best(study: Study, verdict: Verdict) -> Path | None:
    if verdict.winner is None:
        return None
    return write_best(study.name, study.file.baseline, verdict, study.suite)


async def _searched(
    study: Study, store: Store, db: str | None, evaluator: LiveEvaluator, spending: Spending, watcher: Watcher
) -> list[Candidate]:
    plan = study.plan()
    prepare = prepared_by(study, plan, evaluator, store.studies, spending)
    keep_time = _timekeeper(study, store, spending)

    def told(climb: Climb) -> None:
        keep_time()
        watcher.climb(climb)

    watcher.begin("search")
    with opened_trials(db, study.name) as optuna_study:
        trials = Trials(optuna_study, plan.outer, seeded(study.file.sampler, study.file.seed))
        journal = StoredJournal(store, study.name)
        search = Search(plan, evaluator, trials, journal, spending, prepare, told)
        try:
            async for candidate in search.run():
                watcher.end(candidate)
                if candidate.number == BASELINE and candidate.end == "broken":
                    raise UserError(f"the baseline does not hold up: {candidate.reason}")
        finally:
            keep_time()
        return search.candidates


def _timekeeper(study: Study, store: Store, spending: Spending) -> Callable[[], None]:
    """Adds the seconds since it was called last to those of the study in the store."""
    kept = spending.seconds

    def keep() -> None:
        nonlocal kept
        now = spending.seconds
        store.studies.add_seconds(study.name, now - kept)
        kept = now

    return keep
