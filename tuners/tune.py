"""A study from its first candidate to its verdict."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError
from agentbench.gate.baseline import stored_outcomes
from agentbench.stats import summarize_serving
from agentbench.store import Store
from agentbench.store.studies import Studies
from agentbench.suite.suite import Suite
from tuners.engine.evaluator import LiveEvaluator, opened
from tuners.proposals.demonstrations import Bootstrapper
from tuners.proposals.proposer import Proposer
from tuners.report.best_file import write_best
from tuners.search.budget import Spending
from tuners.search.candidate import BASELINE, Candidate
from tuners.search.climb import Climb
from tuners.search.journal import StoredJournal, ended_candidates, reopen
from tuners.search.optuna_storage import opened_trials
from tuners.search.search import Plan, Prepare, Search
from tuners.search.trials import Trials
from tuners.space.space import Settings
from tuners.study.study import Study
from tuners.verdict.verdict import Verdict, judge, verdict_of_json

BEAT_S = 20.0


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
    """What came of a study; `verdict` is None while other workers are at it, and the last of them gives it.

    `best` is the file of the winner's settings, None without one.
    """

    candidates: tuple[Candidate, ...]
    verdict: Verdict | None
    best: Path | None = None


async def run_study(study: Study, store: Store, db: str | None, watcher: Watcher, *, judged: bool = True) -> None:
    """Goes on from where the store says the study is, beside the workers that are at it; what it has is not done
    again. The last of the workers gives the verdict, unless it is left for another time (`judged`)."""
    record = store.studies.get(study.name)
    if record.verdict:
        return
    store.studies.set_status(study.name, "running")
    evaluator = LiveEvaluator(study, store, watcher.attempt)
    journal = StoredJournal(store, study.name)
    async with opened(evaluator), beating(journal):
        spending = Spending(study.file.budget, case_runs=evaluator.spent(), before=record.seconds)
        watcher.spend(spending, evaluator)
        candidates = await _searched(study, store, db, evaluator, journal, spending, watcher)
        if not judged or journal.others() or not journal.claim_verdict():
            return
        watcher.begin("verdict")
        verdict = await judge(study, study.plan(), evaluator, candidates, spending.seconds)
        store.studies.finish(study.name, verdict.to_json())


def tuned(study: Study, store: Store) -> Tuned:
    """What the store has of the study; the winner's settings are written to a file."""
    record = store.studies.get(study.name)
    verdict = verdict_of_json(record.verdict) if record.verdict else None
    won = verdict is not None and verdict.winner is not None
    best = write_best(study.name, study.file.baseline, verdict, study.suite) if verdict and won else None
    return Tuned(candidates=tuple(ended_candidates(store, study.name)), verdict=verdict, best=best)


def _reopen(study: Study, store: Store, spending: Spending) -> None:
    """What ended for want of budget goes on where there is more of it, and a baseline that broke is tried again:
    without it there is no study."""
    for candidate in ended_candidates(store, study.name):
        broken = candidate.number == BASELINE and candidate.end == "broken"
        if broken or (candidate.end == "out of budget" and not spending.exhausted):
            reopen(store, study.name, candidate)


@asynccontextmanager
async def beating(journal: StoredJournal) -> AsyncIterator[None]:
    """Tells other workers again and again that this one is there."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            journal.beat()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


async def _searched(
    study: Study,
    store: Store,
    db: str | None,
    evaluator: LiveEvaluator,
    journal: StoredJournal,
    spending: Spending,
    watcher: Watcher,
) -> list[Candidate]:
    from tuners.search.samplers import seeded

    plan = study.plan()
    prepare = prepared_by(study, plan, evaluator, store.studies, spending)

    def told(climb: Climb) -> None:
        store.studies.keep_seconds(study.name, spending.seconds)
        watcher.climb(climb)

    watcher.begin("search")
    _reopen(study, store, spending)
    for candidate in ended_candidates(store, study.name):
        watcher.end(candidate)
    with opened_trials(db, study.name, plan.outer) as (optuna_study, storage):
        trials = Trials(optuna_study, storage, plan.outer, seeded(study.file.sampler, study.file.seed))
        search = Search(plan, evaluator, trials, journal, spending, prepare, told)
        try:
            async for candidate in search.run():
                watcher.end(candidate)
                if candidate.number == BASELINE and candidate.end == "broken":
                    raise UserError(f"the baseline does not hold up: {candidate.reason}")
        finally:
            store.studies.keep_seconds(study.name, spending.seconds)
    return ended_candidates(store, study.name)


def prepared_by(study: Study, plan: Plan, evaluator: LiveEvaluator, kept: Studies, spending: Spending) -> Prepare:
    """Both see the train cases and nothing of the others."""
    train = {case_id: study.train[case_id] for case_id in plan.rungs.order}
    propose = Proposer(study.name, plan.outer, train, evaluator, evaluator.host, kept, spending, plan.seed)

    def attempts_of(candidate: Candidate) -> Sequence[Attempt]:
        return evaluator.attempts(evaluator.configuration(candidate.settings))

    bootstrap = Bootstrapper(plan.outer, train, plan.rungs.order, attempts_of)

    async def prepare(settings: Settings, candidates: Sequence[Candidate]) -> Settings:
        return await bootstrap(await propose(settings, candidates), candidates)

    return prepare


LOOKED_AT = 5
"""Runs that are looked at, the newest first; and as many of studies."""


def pace_of(suite: Suite, store: Store) -> float | None:
    """Attempts per second of the newest run of the suite that has some, else of one of a study's; None without one."""
    own = (run.id for run in store.list_runs(LOOKED_AT, suite.name))
    studied = (run.run_id for run in reversed(store.studies.runs(None, "search")))
    of_suite = (run_id for run_id in studied if store.get_run(run_id).suite == suite.name)
    for run_id in (*own, *islice(of_suite, LOOKED_AT)):
        outcomes = stored_outcomes(store, run_id)
        wall_s = summarize_serving(outcomes).wall_s if outcomes else None
        if wall_s:
            return len(outcomes) / wall_s
    return None
