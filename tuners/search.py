"""The search: candidates are suggested, climb the rungs, and the best of them get their serving knobs tuned."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agentbench.config import canonical_hash
from tuners.budget import Spending
from tuners.candidate import BASELINE, Candidate
from tuners.climb import Climb, excesses
from tuners.evaluator import Broken, Evaluator, Figures, Limit
from tuners.journal import Journal
from tuners.knobs import KnobSearch
from tuners.rungs import RungPlan, Values, worse_p
from tuners.space import Settings, Space
from tuners.trials import Trials

IDLE = 100
"""So many suggestions in a row that were known or forbidden, and the space is taken for exhausted."""

SAME_LENGTH = 0.2
"""Knobs found for one candidate are taken over by another whose tokens differ by less than this share."""

Prepare = Callable[[Settings, Sequence[Candidate]], Awaitable[Settings]]
"""Suggested settings to those that are tried, given the candidates so far: demonstrations from their traces, and
instructions that a model proposes."""

Tell = Callable[[Climb], None]
"""Told after every rung."""


async def as_suggested(settings: Settings, candidates: Sequence[Candidate]) -> Settings:
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a search goes by.

    `outer` is what the sampler suggests, `inner` the lossless knobs that are tuned by replay (empty in a flat search,
    where they are part of `outer` and every candidate answers all cases in one rung). `opening` candidates, the
    baseline among them, answer the first rung before any of them goes on: the best of them goes on first.
    """

    outer: Space
    inner: Space = field(default_factory=lambda: Space(parameters={}))
    rungs: RungPlan
    clusters: Mapping[str, str]
    limits: tuple[Limit, ...] = ()
    opening: int = 4
    seed: int = 0


class Search:
    """One worker's search; `candidates` is all that has been tried so far, by whichever worker.

    The best so far is the feasible candidate of the highest quality on all of train (of several, the one with the
    highest goodput): every other is held against it, case by case.
    """

    def __init__(
        self,
        plan: Plan,
        evaluator: Evaluator,
        trials: Trials,
        journal: Journal,
        spending: Spending,
        prepare: Prepare = as_suggested,
        tell: Tell = lambda climb: None,
    ) -> None:
        self._plan = plan
        self._evaluator = evaluator
        self._trials = trials
        self._journal = journal
        self._spending = spending
        self._prepare = prepare
        self._report = tell
        self.candidates: list[Candidate] = list(journal.ended())
        self._abandoned = dict(journal.abandoned())
        self._taken = {number: self._key(settings) for number, settings in journal.begun().items()}
        self._lost = sorted(set(trials.unfinished()) - self._taken.keys())
        spending.trials = len(self.candidates)

    @property
    def best(self) -> Candidate | None:
        feasible = [candidate for candidate in self.candidates if candidate.feasible]
        return max(feasible, key=rank, default=None)

    async def run(self) -> AsyncGenerator[Candidate]:
        """Candidates as they end, until the budget is used up or the space is exhausted."""
        self._catch_up()
        async for candidate in self._opening():
            yield candidate
        while not self._spending.over and (climb := await self._next()):
            await self._climb(climb, self._top)
            yield await self._ended(climb)

    @property
    def _top(self) -> int:
        return len(self._plan.rungs.sizes) - 1

    def _catch_up(self) -> None:
        """Tells the sampler of candidates that ended just before their worker was killed."""
        for candidate in self.candidates:
            self._trials.tell(candidate)

    async def _opening(self) -> AsyncGenerator[Candidate]:
        """The first rung by the first candidates, then each on from there, the best first."""
        climbs: list[Climb] = []
        for _ in range(self._plan.opening - len(self.candidates)):
            if self._spending.over or (climb := await self._next()) is None:
                break
            climbs.append(climb)
            await self._climb(climb, 0)
        for climb in sorted(climbs, key=lambda climb: -climb.mean):
            await self._climb(climb, self._top)
            yield await self._ended(climb)

    async def _next(self) -> Climb | None:
        """One that was abandoned, the baseline, or a new suggestion; None when there are none that are new."""
        if self._abandoned:
            number = min(self._abandoned)
            return self._begun(number, self._abandoned.pop(number))
        if BASELINE not in self._taken:
            return self._begun(BASELINE, {})
        for _ in range(IDLE):
            suggestion = self._trials.ask_again(self._lost.pop(0)) if self._lost else self._trials.ask()
            settings = {**self._knobs, **await self._prepare(suggestion.settings, self.candidates)}
            if not self._is_known(suggestion.number, settings):
                return self._begun(suggestion.number, settings)
        return None

    def _begun(self, number: int, settings: Settings) -> Climb:
        self._taken[number] = self._key(settings)
        self._journal.begin(number, settings)
        self._spending.trials += 1
        return Climb(number=number, settings=settings)

    def _is_known(self, number: int, settings: Settings) -> bool:
        """Whether it is forbidden, or was tried; the sampler is told so, and it counts for nothing."""
        if self._plan.outer.is_forbidden(settings):
            self._trials.tell(
                Candidate(number=number, settings=settings, end="forbidden", rung=-1, quality=0, scores={})
            )
            return True
        key = self._key(settings)
        same = next((each for each in self.candidates if self._key(each.settings) == key), None)
        if same is not None:
            self._trials.tell(replace(same, number=number))
        elif key in self._taken.values():
            self._trials.drop(number)
        return same is not None or key in self._taken.values()

    def _key(self, settings: Settings) -> str:
        """Of what the sampler decides on: knobs that were found by replay make no other candidate."""
        return canonical_hash({path: v for path, v in settings.items() if path not in self._plan.inner.parameters})

    async def _climb(self, climb: Climb, top: int) -> None:
        """Up to rung `top`, for as long as it is not shown to be worse than the best."""
        while climb.end is None and climb.rung < top:
            began = self._spending.clock()
            await self._step(climb)
            climb.seconds += self._spending.clock() - began
            self._journal.go_on(climb.number)
            self._report(climb)

    async def _step(self, climb: Climb) -> None:
        rung, best = climb.rung + 1, self.best
        try:
            answers = await self._evaluator.answer(climb.settings, self._plan.rungs.cases(rung), self._plan.seed)
        except Broken as broken:
            climb.end, climb.reason = "broken", str(broken)
            climb.case_runs += broken.fresh
            self._spending.case_runs += broken.fresh
            return
        climb.take(answers)
        self._spending.case_runs += answers.fresh
        if rung == self._top:
            climb.end = "finished"
        elif best is not None and self._is_worse(climb.scores, best.scores, rung):
            climb.end = "dropped"
        elif self._spending.exhausted:
            climb.end = "out of budget"

    def _is_worse(self, scores: Values, best: Values, rung: int) -> bool:
        return worse_p(scores, best, lambda case: self._plan.clusters[case]) <= self._plan.rungs.alphas[rung]

    async def _ended(self, climb: Climb) -> Candidate:
        """The candidate, its knobs tuned when it is the best so far; kept, and told to the sampler."""
        best = self.best
        candidate = climb.ended(best.scores if best else None, self._plan.limits)
        if candidate.end == "finished" and candidate.number != BASELINE:
            candidate = await self._tuned(candidate)
        self._journal.end(candidate)
        self.candidates.append(candidate)
        if candidate.number != BASELINE:
            self._trials.tell(candidate)
        return candidate

    async def _tuned(self, candidate: Candidate) -> Candidate:
        best = self.best
        if best is not None and candidate.quality < best.quality:
            return candidate
        taken_over = best is not None and bool(self._knobs) and _same_length(candidate.figures, best.figures)
        if not self._plan.inner.parameters or taken_over:
            return await self._measured(candidate)
        outer = {path: v for path, v in candidate.settings.items() if path not in self._plan.inner.parameters}
        inner = {path: v for path, v in candidate.settings.items() if path in self._plan.inner.parameters}
        search = KnobSearch(self._plan.inner, self._evaluator, self._cost, lambda: self._spending.exhausted)
        knobs, figures = await search.best(outer, inner)
        return self._with(replace(candidate, settings={**outer, **knobs}), figures, search.replayed)

    async def _measured(self, candidate: Candidate) -> Candidate:
        """With figures where its answers were all in the cache, given under other knobs, and a limit needs them."""
        if all(limit.metric in candidate.figures or limit.metric == "quality" for limit in self._plan.limits):
            return candidate
        try:
            measured = await self._evaluator.measure(candidate.settings, {})
        except Broken as broken:
            return replace(candidate, end="broken", reason=str(broken))
        return self._with(candidate, measured.figures, measured.replayed)

    def _with(self, candidate: Candidate, figures: Figures, replayed: int) -> Candidate:
        self._spending.case_runs += replayed
        known = {**candidate.figures, **figures}
        return replace(
            candidate,
            figures=known,
            excess=excesses(self._plan.limits, known, candidate.quality),
            case_runs=candidate.case_runs + replayed,
        )

    def _cost(self, figures: Figures) -> tuple[float, ...]:
        """First how far beyond the limits, then the goodput."""
        serving = tuple(limit for limit in self._plan.limits if limit.metric != "quality")
        beyond = sum(max(0.0, each) for each in excesses(serving, figures, 0.0).values())
        return beyond, -figures.get("goodput", 0.0)

    @property
    def _knobs(self) -> Settings:
        """The best one's, which the next candidates are run with."""
        settings = self.best.settings if self.best else {}
        return {path: value for path, value in settings.items() if path in self._plan.inner.parameters}


def rank(candidate: Candidate) -> tuple[float, float]:
    """Quality, then goodput."""
    return candidate.quality, candidate.figures.get("goodput", 0.0)


def _same_length(a: Figures, b: Figures) -> bool:
    """Whether an attempt's tokens are about as many, so that the same knobs suit both."""
    x, y = a.get("tokens", 0.0), b.get("tokens", 0.0)
    return x == y or abs(x - y) <= SAME_LENGTH * max(x, y)
