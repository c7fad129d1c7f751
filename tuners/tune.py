"""Runs a study from its first candidate to its verdict."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
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
from tuners.engine.evaluator import LiveEvaluator
from tuners.proposals.demonstrations import Bootstrapper
from tuners.proposals.proposer import Proposer
from tuners.report.best_file import write_best
from tuners.search.budget import Spending
from tuners.search.candidate import BASELINE, Candidate
from tuners.search.journal import StoredJournal, ended_candidates, reopen
from tuners.search.optuna_storage import opened_trials
from tuners.search.rungs import Climb
from tuners.search.search import Plan, Prepare, Search
from tuners.search.trials import Trials
from tuners.space.space import Settings
from tuners.study.study import Study
from tuners.verdict.verdict import Verdict, judge, verdict_of_json

HEARTBEAT_S = 20.0
"""Seconds between two heartbeats of a worker."""


class Watcher(Protocol):
    """Observes the progress of a study."""

    def spend(self, spending: Spending, evaluator: LiveEvaluator) -> None:
        """Receives the objects that count the spent budget and the cached answers, before the search begins."""
        ...

    def begin(self, phase: str) -> None: ...

    def climb(self, climb: Climb) -> None: ...

    def end(self, candidate: Candidate) -> None: ...

    def attempt(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """The result of a study so far.

    `verdict` is None until the last worker has given it. `best` is the file with the winner's settings, None without a
    winner.
    """

    candidates: tuple[Candidate, ...]
    verdict: Verdict | None
    best: Path | None = None


async def run_study(study: Study, store: Store, db: str | None, watcher: Watcher, *, judged: bool = True) -> None:
    """Runs one worker of the study, from the state that the store has; other workers may run at the same time.

    Stored results are not computed again. The last worker to finish its search gives the verdict, unless `judged` is
    False. `UserError` when the baseline breaks or no verdict is possible.
    """
    record = store.studies.get(study.name)
    if record.verdict:
        return
    store.studies.set_status(study.name, "running")
    evaluator = LiveEvaluator(study, store, watcher.attempt)
    journal = StoredJournal(store, study.name)
    async with aclosing(evaluator), heartbeat(journal):
        spending = Spending(study.file.budget, case_runs=evaluator.spent(), before=record.seconds)
        watcher.spend(spending, evaluator)
        candidates = await _search(study, store, db, evaluator, journal, spending, watcher)
        if not judged or journal.others() or not journal.claim_verdict():
            return
        watcher.begin("verdict")
        verdict = await judge(study, study.plan(), evaluator, candidates, spending.seconds)
        store.studies.finish(study.name, verdict.to_json())


def study_result(study: Study, store: Store) -> StudyResult:
    """The study's result in the store; writes the winner's settings to a file."""
    record = store.studies.get(study.name)
    verdict = verdict_of_json(record.verdict) if record.verdict else None
    won = verdict is not None and verdict.winner is not None
    best = write_best(study.name, study.file.baseline, verdict, study.suite) if verdict and won else None
    return StudyResult(candidates=tuple(ended_candidates(store, study.name)), verdict=verdict, best=best)


def _reopen_candidates(study: Study, store: Store, spending: Spending) -> None:
    """Continues the candidates that an earlier budget ended, if this one has some left, and a baseline that broke.

    A study needs its baseline.
    """
    for candidate in ended_candidates(store, study.name):
        broken = candidate.number == BASELINE and candidate.end == "broken"
        if broken or (candidate.end == "out of budget" and not spending.exhausted):
            reopen(store, study.name, candidate)


@asynccontextmanager
async def heartbeat(journal: StoredJournal) -> AsyncIterator[None]:
    """Sends this worker's heartbeat to the journal every `HEARTBEAT_S` seconds, during its block."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            journal.beat()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


async def _search(
    study: Study,
    store: Store,
    db: str | None,
    evaluator: LiveEvaluator,
    journal: StoredJournal,
    spending: Spending,
    watcher: Watcher,
) -> list[Candidate]:
    """Searches until the budget or the space is exhausted; the study's ended candidates, by number."""
    from tuners.search.samplers import seeded

    plan = study.plan()
    prepare = make_prepare(study, plan, evaluator, store.studies, spending)

    def report(climb: Climb) -> None:
        store.studies.keep_seconds(study.name, spending.seconds)
        watcher.climb(climb)

    watcher.begin("search")
    _reopen_candidates(study, store, spending)
    for candidate in ended_candidates(store, study.name):
        watcher.end(candidate)
    with opened_trials(db, study.name, plan.outer) as (optuna_study, storage):
        trials = Trials(optuna_study, storage, plan.outer, seeded(study.file.sampler, study.file.seed))
        search = Search(plan, evaluator, trials, journal, spending, prepare, report)
        try:
            async for candidate in search.run():
                watcher.end(candidate)
                if candidate.number == BASELINE and candidate.end == "broken":
                    raise UserError(f"the baseline is broken, so there is nothing to compare with: {candidate.reason}")
        finally:
            store.studies.keep_seconds(study.name, spending.seconds)
    return ended_candidates(store, study.name)


def make_prepare(study: Study, plan: Plan, evaluator: LiveEvaluator, studies: Studies, spending: Spending) -> Prepare:
    """The function that fills in a suggestion's proposed instructions and its demonstrations, from train cases only."""
    train = {case_id: study.train[case_id] for case_id in plan.rungs.order}
    propose = Proposer(study.name, plan.outer, train, evaluator, evaluator.host, studies, spending, plan.seed)

    def attempts_of(candidate: Candidate) -> Sequence[Attempt]:
        return evaluator.attempts(evaluator.configuration(candidate.settings))

    bootstrap = Bootstrapper(plan.outer, train, plan.rungs.order, attempts_of)

    async def prepare(settings: Settings, candidates: Sequence[Candidate]) -> Settings:
        return await bootstrap(await propose(settings, candidates), candidates)

    return prepare


NEWEST_RUNS = 5
"""The pace is read from so many of the newest runs, and of the newest runs of studies."""


def pace_of(suite: Suite, store: Store) -> float | None:
    """Attempts per second of the suite's newest run, or else of a study's run of it; None when none has attempts."""
    own = (run.id for run in store.list_runs(NEWEST_RUNS, suite.name))
    of_studies = (run.run_id for run in reversed(store.studies.runs(None, "search")))
    of_suite = (run_id for run_id in of_studies if store.get_run(run_id).suite == suite.name)
    for run_id in (*own, *islice(of_suite, NEWEST_RUNS)):
        outcomes = stored_outcomes(store, run_id)
        wall_s = summarize_serving(outcomes).wall_s if outcomes else None
        if wall_s:
            return len(outcomes) / wall_s
    return None
