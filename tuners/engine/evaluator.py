"""Judges candidates on the real engine: runs cases, stores answers, replays traces."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from scipy import stats

from agentbench.core.attempt import Attempt
from agentbench.core.study import Purpose
from agentbench.gate.baseline import stored_outcomes
from agentbench.run.experiment import Experiment
from agentbench.run.runner import Job
from agentbench.stats import Outcome, summarize_serving
from agentbench.stats.outcomes import AGENT_FAILURES
from agentbench.stats.usage import ModelUsage, Prices, added, cost_of
from agentbench.store import Store
from tuners.engine.answer_cache import AnswerCache, mean_scores
from tuners.engine.case_runs import CaseRuns, OnAttempt
from tuners.engine.host import LiveHost
from tuners.engine.trace_replay import TraceReplay
from tuners.search.budget import within
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Broken, Figures, Measured, OutOfBudget
from tuners.space.configuration import Configuration, Configurations, needs_server
from tuners.space.space import Settings
from tuners.study.study import Study


class LiveEvaluator:
    """Answers cases from the store or else on the suite's server, which `host` keeps running between candidates.

    `runs` gives access to the stored runs of its answers. `cached` counts the answers that were in the store.
    """

    def __init__(self, study: Study, store: Store, on_attempt: OnAttempt = lambda: None) -> None:
        self._study = study
        self._store = store
        self._on_attempt = on_attempt
        self._prices = study.file.all_prices(study.suite)
        self._configurations = Configurations(study.suite, study.file.baseline, study.file.seed)
        self._cache = AnswerCache(study, store)
        self.host = LiveHost(study.name)
        self._replay = TraceReplay(study.file.replay.attempts, self.host.log_path)
        self.runs = LiveRuns(self, store, self._cache, self._replay)
        self.cached = 0

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        return self._configurations.of(settings, seed)

    def value_at(self, path: str, settings: Settings) -> object:
        return self._configurations.value_at(settings, path)

    async def answer(
        self,
        configuration: Configuration,
        cases: Sequence[str],
        allowance: Allowance = UNBOUNDED,
        purpose: Purpose = "search",
    ) -> Answers:
        """Runs the cases that have no answer yet, and returns the answers to all of them.

        Figures come from this call's cases alone, and from attempts under exactly these settings, since a server's
        times depend on its load. Raises `Broken` when the settings do not fit the suite, when the server fails, and
        when no attempt was answered.
        """
        if configuration.problem:
            raise Broken(configuration.problem)
        experiment = self._cache.experiment(configuration, purpose)
        run_id = experiment.run.id
        keys = {(case_id, repeat) for case_id in cases for repeat in range(experiment.run.repeats)}
        self._cache.delete_failed(run_id, keys)
        jobs = self._cache.jobs(experiment, cases, self._cache.outcomes(configuration, purpose))
        self.cached += len(keys) - len(jobs)
        complete = await self._run(experiment, jobs, configuration, allowance) if jobs else True
        found = [each for each in self._cache.outcomes(configuration, purpose) if (each.case_id, each.repeat) in keys]
        own = self._cache.run_outcomes(run_id, keys)
        failed = [each for each in own if each.failure is not None and each.failure not in AGENT_FAILURES]
        fresh = len({(job.case.id, job.repeat) for job in jobs} & {(each.case_id, each.repeat) for each in own})
        reason = self._cache.failure(run_id) if failed else ""
        if failed and not found:
            raise Broken(f"none of {len(failed)} attempts was answered: {reason}", fresh)
        return Answers(
            scores=mean_scores((*found, *failed)),
            attempts=len(found) + len(failed),
            failed=len(failed),
            failure=reason,
            fresh=fresh,
            figures=self.figures(own, configuration) if own else {},
            at_best=at_best(own),
            complete=complete,
        )

    async def _run(
        self, experiment: Experiment, jobs: Sequence[Job], configuration: Configuration, allowance: Allowance
    ) -> bool:
        """Runs the jobs; False when the allowance ended first. A `Broken` counts the attempts that were run."""
        before = self._cache.stored_keys(experiment.run.id)
        runs = CaseRuns(configuration, experiment, self._store, self._cache, self.host, self._on_attempt)
        try:
            return await runs.run(jobs, self.spent, allowance)
        except Broken as broken:
            fresh = len(self._cache.stored_keys(experiment.run.id) - before)
            raise Broken(str(broken), fresh) from broken

    def attempts_run(self, configuration: Configuration, cases: Sequence[str]) -> int:
        run_id = self._cache.find(configuration, "search")
        wanted = frozenset(cases)
        return sum(case_id in wanted for case_id, _ in self._cache.stored_keys(run_id)) if run_id else 0

    def figures(self, outcomes: Sequence[Outcome], configuration: Configuration) -> Figures:
        suite = configuration.suite
        model = str(suite.config.serving.options.get("model", ""))
        return figures_of(outcomes, suite.objectives, self._prices, model)

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        """Replays the configuration's recorded attempts on a server with the `lossless` knobs; a stored result is used.

        The server is started for the replay: one that answered these cases before would have their prefixes in its
        cache. Raises `Broken` when the settings do not fit, or when the server does not start or answers nothing;
        `OutOfBudget` when the allowance does not suffice.
        """
        target = self.configuration({**configuration.settings, **lossless})
        if target.problem:
            raise Broken(target.problem)
        if not needs_server(target.suite.config.backend):
            outcomes = self._cache.outcomes(configuration, "search")
            return Measured(figures=self.figures(outcomes, target), replayed=0)
        key = f"{configuration.answers} {target.served}"
        name = self._study.name
        if (stored := self._store.studies.replays(name).get(key)) is not None:
            return Measured(figures=stored["figures"], replayed=0)
        attempts = self._cache.attempts(configuration)
        if allowance.case_runs is not None and self._replay.size(attempts) > allowance.case_runs:
            raise OutOfBudget
        await self.host.rest()
        async with within(allowance.seconds):
            outcomes = await self._replay.outcomes(target, attempts)
        figures = self.figures(outcomes, target)
        result = {"figures": dict(figures), "replayed": len(outcomes), "settings": dict(target.settings)}
        self._store.studies.keep_replay(name, key, result)
        return Measured(figures=figures, replayed=len(outcomes))

    def spent(self) -> int:
        """Attempts run by the search so far, by all workers and over all starts, replays included."""
        studies, name = self._store.studies, self._study.name
        replayed = sum(int(each["replayed"]) for each in studies.replays(name).values())
        return studies.attempts(name, "search") + replayed

    def attempts(self, configuration: Configuration) -> list[Attempt]:
        """The search's attempts under this configuration that did not fail, all on train."""
        return self._cache.attempts(configuration)

    async def aclose(self) -> None:
        await self.host.rest()
        self._cache.close()


class LiveRuns:
    """The stored runs of an evaluator's answers, for a verdict."""

    def __init__(self, evaluator: LiveEvaluator, store: Store, cache: AnswerCache, replay: TraceReplay) -> None:
        self._evaluator = evaluator
        self._store = store
        self._cache = cache
        self._replay = replay

    def on_test(self, configuration: Configuration) -> str:
        return self._cache.experiment(configuration, "test").run.id

    def outcomes(self, run_id: str) -> list[Outcome]:
        return stored_outcomes(self._store, run_id)

    def failure(self, run_id: str) -> str:
        return self._cache.failure(run_id)

    def goodput(self, outcomes: Sequence[Outcome]) -> float | None:
        return self._evaluator.figures(outcomes, self._evaluator.configuration({})).get("goodput")

    async def in_turn(
        self, a: tuple[Configuration, str], b: tuple[Configuration, str], rounds: int
    ) -> list[tuple[Figures, Figures]]:
        """Replays two stored runs' traces in turn, each on its own server; the figures of both, round by round."""
        (first, first_run), (second, second_run) = a, b
        await self._evaluator.host.rest()
        of_first, of_second = self._attempts(first_run), self._attempts(second_run)
        shared = of_first.keys() & of_second.keys()
        pairs = [(of_first[key], of_second[key]) for key in sorted(shared)]
        found = await self._replay.in_turn(first, second, pairs, rounds)
        return [(self._evaluator.figures(x, first), self._evaluator.figures(y, second)) for x, y in found]

    def _attempts(self, run_id: str) -> dict[tuple[str, int], Attempt]:
        """A run's attempts that did not fail and that called the model, by case and repeat."""
        attempts = [each for each in self._store.attempts(run_id) if each.failure is None and each.trace.model_calls]
        return {(each.case_id, each.repeat): each for each in attempts}


def figures_of(outcomes: Sequence[Outcome], limits: Mapping[str, float], prices: Prices, model: str = "") -> Figures:
    """Each defined metric's value: times in seconds, rates per second, tokens and cost per attempt.

    `goodput` counts attempts that were right and met every limit. Tokens and cost are undefined when a call has no
    token count: a partial sum would make a candidate look cheaper than it is. `model` is the configured name; its price
    applies when all calls went to one model whose name has no price.
    """
    summary = summarize_serving(outcomes, limits)
    found = {
        "ttft_p50": summary.ttft_p50_s,
        "ttft_p95": summary.ttft_p95_s,
        "ttft_p99": summary.ttft_p99_s,
        "tpot_p50": summary.tpot_p50_s,
        "tpot_p95": summary.tpot_p95_s,
        "latency_p50": summary.latency_p50_s,
        "latency_p95": summary.latency_p95_s,
        "output_tokens_per_s": None if summary.uncounted_timed else summary.output_tokens_per_s,
        "attempts_per_s": len(outcomes) / summary.wall_s if summary.wall_s else None,
        "goodput": summary.agent_goodput_per_s,
        "tokens": _tokens(outcomes),
        "cost": _cost(outcomes, prices, model),
    }
    return {name: value for name, value in found.items() if value is not None}


def _usages(outcomes: Sequence[Outcome]) -> tuple[ModelUsage, ...]:
    """The usage of the outcomes that did not fail, by model; empty when a call has no token count."""
    found = added(usage for each in outcomes if each.failure is None for usage in each.usage.models)
    return () if any(each.uncounted for each in found) else found


def _tokens(outcomes: Sequence[Outcome]) -> float | None:
    usages = _usages(outcomes)
    return sum(each.prompt_tokens + each.completion_tokens for each in usages) / len(outcomes) if usages else None


def _cost(outcomes: Sequence[Outcome], prices: Prices, model: str) -> float | None:
    usages = _usages(outcomes)
    if len(usages) == 1 and usages[0].model not in prices:
        usages = (replace(usages[0], model=model),)
    found = cost_of(usages, prices)
    return None if found is None or found.unknown_calls else found.value / len(outcomes)


ALPHA = 0.05
"""One-sided error of `at_best`: the share of reachable limits that it wrongly calls out of reach."""

PERCENTILES = (("ttft", 50), ("ttft", 95), ("ttft", 99), ("tpot", 50), ("tpot", 95), ("latency", 50), ("latency", 95))


def at_best(outcomes: Sequence[Outcome]) -> Figures:
    """A lower bound, in seconds, of each percentile of the times: the end of its one-sided 95 % interval.

    The number of calls below a percentile is binomial; the bound is the order statistic at that distribution's
    5 % quantile. A percentile with too few calls for a bound is left out.
    """
    found: dict[str, float] = {}
    for name, percent in PERCENTILES:
        times = sorted(_times(outcomes, name))
        place = int(stats.binom.ppf(ALPHA, len(times), percent / 100)) if times else 0
        if place > 0:
            found[f"{name}_p{percent}"] = times[place - 1]
    return found


def _times(outcomes: Sequence[Outcome], name: str) -> Iterable[float]:
    return (time for outcome in outcomes for time in getattr(outcome, f"{name}_s"))
