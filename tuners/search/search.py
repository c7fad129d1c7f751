"""The search: candidates are suggested, climb the rungs, and the best of them get their serving knobs tuned."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tuners.search.budget import Spending
from tuners.search.candidate import BASELINE, Candidate, front, rank
from tuners.search.climb import Climb
from tuners.search.evaluator import Broken, Evaluator, Limit, is_better, too_many
from tuners.search.journal import Journal, Progress
from tuners.search.knobs import KnobTuner
from tuners.search.rungs import RungPlan, worse_p
from tuners.search.trials import Trials, grouped
from tuners.space.configuration import Configuration
from tuners.space.space import Settings, Space, combinations

IDLE = 100
"""So many suggestions in a row that were known or forbidden, and the space is taken for exhausted."""

STALE = 12
"""So many, and one is drawn from what is left, where that can be listed."""

SMALL = 300
"""A space of no more combinations can be listed."""

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
    baseline among them, answer the first rung before any of them goes on: the best of them goes on first. The sampler
    is asked for `together` suggestions at a time, and those that share a server are tried one after the other. A
    candidate of whose attempts more than the share `max_failures` fail without the agent's doing is broken.
    """

    outer: Space
    inner: Space = field(default_factory=lambda: Space(parameters={}))
    rungs: RungPlan
    clusters: Mapping[str, str]
    objectives: tuple[str, ...] = ("quality",)
    limits: tuple[Limit, ...] = ()
    opening: int = 4
    together: int = 1
    max_failures: float = 0.1
    seed: int = 0


class Search:
    """One worker's search; `candidates` is all that has been tried so far, by whichever worker.

    The best so far is the feasible candidate of the highest quality on all of train (of several, the one with the
    highest goodput): the sampler learns of the others by how they do against it, case by case.
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
        self._tuner = KnobTuner(plan.inner, evaluator, plan.limits, spending)
        self._waiting: dict[int, Configuration] = {}
        self._begun: Mapping[int, Settings] = {}
        self._decided: dict[int, Configuration] = {}
        self._listed = combinations(plan.outer, SMALL)
        self.candidates: list[Candidate] = []

    @property
    def best(self) -> Candidate | None:
        feasible = [candidate for candidate in self.candidates if candidate.feasible]
        return max(feasible, key=rank, default=None)

    @property
    def _measure(self) -> Candidate | None:
        """What others are held against: the best, or the best but for its limits for as long as none meets them."""
        finished = [candidate for candidate in self.candidates if candidate.end == "finished"]
        return max([each for each in finished if each.meets] or finished, key=_quality, default=None)

    async def run(self) -> AsyncGenerator[Candidate]:
        """This worker's candidates as they end, until the budget is used up or the space is exhausted."""
        self._catch_up()
        async for candidate in self._opening():
            yield candidate
        while climb := await self._next():
            await self._climb(climb, self._top)
            yield await self._ended(climb)
        for number in self._waiting:
            self._trials.drop(number)

    @property
    def _top(self) -> int:
        return len(self._plan.rungs.sizes) - 1

    def _catch_up(self) -> None:
        """Tells the sampler of candidates that ended just before their worker was killed."""
        self._learn()
        for candidate in self.candidates:
            self._tell(candidate)

    def _learn(self) -> None:
        """What all workers have done by now."""
        self.candidates = sorted((*self.candidates, *self._journal.news()), key=lambda each: each.number)
        self._begun = self._journal.begun()
        for number in self._begun.keys() - self._decided.keys():
            self._decided[number] = self._evaluator.configuration(self._tuner.split(self._begun[number])[0])
        self._spending.trials = len(self._begun)
        self._spending.case_runs = self._evaluator.spent()

    async def _opening(self) -> AsyncGenerator[Candidate]:
        """The first rung by the first candidates, then each on from there, the best first."""
        climbs: list[Climb] = []
        while self._opened < self._plan.opening and (climb := await self._next()):
            climbs.append(climb)
            await self._climb(climb, 0)
        for climb in sorted(climbs, key=lambda climb: -climb.mean):
            await self._climb(climb, self._top)
            yield await self._ended(climb)

    @property
    def _opened(self) -> int:
        """How many candidates have begun and were not abandoned."""
        return len(self._journal.begun().keys() - self._journal.abandoned().keys())

    async def _next(self) -> Climb | None:
        """One that was abandoned, the baseline, or a new suggestion; None when the budget is used up, or when there
        are none that are new."""
        self._learn()
        if self._spending.exhausted:
            return None
        for number, settings in self._journal.abandoned().items():
            if climb := self._claimed(number, self._evaluator.configuration(settings)):
                return climb
        if BASELINE not in self._begun and (climb := self._claimed(BASELINE, self._evaluator.configuration({}))):
            return climb
        return await self._suggested()

    async def _suggested(self) -> Climb | None:
        while not (self._spending.over or self._is_exhausted()):
            number, suggested = self._suggestion()
            decided = self._evaluator.configuration(await self._prepare(suggested.settings, self.candidates))
            if self._spending.exhausted:
                self._waiting = {number: suggested, **self._waiting}
                return None
            if self._is_known(number, decided):
                continue
            self._decided[number] = decided
            if climb := self._claimed(number, self._with_knobs(decided)):
                return climb
            self._learn()
        return None

    def _is_exhausted(self) -> bool:
        """Whether everything there is has begun, or nothing new was suggested for long."""
        return self._idle >= IDLE or (self._listed is not None and not self._untried())

    @property
    def _idle(self) -> int:
        """Suggestions since the last one that made a candidate, or since there were more choices, by whichever worker
        and before whichever kill."""
        return self._trials.count - max(self._trials.extended_at, *self._begun, 0)

    def _untried(self) -> list[Settings]:
        """What is left of a space that is small enough to be listed."""
        begun = {self._decided[number].key for number in self._begun}
        return [settings for settings in self._listed or () if self._evaluator.configuration(settings).key not in begun]

    def _suggestion(self) -> tuple[int, Configuration]:
        """The next of those asked for together; those that share a server with the last candidate come first.

        A sampler that keeps to what it knows is passed over, where what is left can be listed.
        """
        if not self._waiting:
            if self._idle >= STALE and (untried := self._untried()):
                chance = random.Random(f"{self._plan.seed} {self._trials.count}")
                drawn = self._trials.ask_for(chance.choice(untried))
                return drawn.number, self._evaluator.configuration(drawn.settings)
            asked = self._trials.ask_together(self._plan.together, self._begun.keys())
            # Without the knobs that the last one was given or tuned to: no suggestion has them yet.
            last = self._decided[list(self._begun)[-1]] if self._begun else self._evaluator.configuration({})
            suggested = {each.number: self._evaluator.configuration(each.settings) for each in asked}
            self._waiting = grouped(suggested, last.served)
        number = next(iter(self._waiting))
        return number, self._waiting.pop(number)

    def _claimed(self, number: int, configuration: Configuration) -> Climb | None:
        """The candidate's climb, unless it is another worker's or one too many."""
        if not self._journal.claim(number, configuration.settings, self._spending.options.trials):
            return None
        self._begun = {**self._begun, number: configuration.settings}
        self._spending.trials = len(self._begun)
        before = self._journal.progress(number)
        spent = (before.case_runs, before.seconds) if before else (0, 0.0)
        return Climb(number=number, configuration=configuration, case_runs=spent[0], seconds=spent[1], before=before)

    def _is_known(self, number: int, decided: Configuration) -> bool:
        """Whether it is forbidden, or was tried; the sampler is told so, and it counts for nothing.

        What the sampler decided on counts: knobs that were found by replay make no other candidate.
        """
        settings = decided.settings
        if self._plan.outer.is_forbidden(settings):
            self._trials.tell(
                Candidate(number=number, settings=settings, end="forbidden", rung=-1, quality=0, scores={})
            )
            return True
        alike = {each for each in self._begun if self._decided[each].key == decided.key}
        same = next((each for each in self.candidates if each.number in alike), None)
        if same is not None:
            self._trials.tell(replace(same, number=number))
        elif alike:
            self._trials.drop(number)
        return bool(alike)

    async def _climb(self, climb: Climb, top: int) -> None:
        """Up to rung `top`, for as long as it is not shown to be worse than the best."""
        while climb.end is None and climb.rung < top:
            if self._spending.exhausted:
                climb.end = "out of budget"
                return
            began = self._spending.clock()
            await self._step(climb)
            climb.seconds += self._spending.clock() - began
            self._learn()
            if climb.end is None:
                self._judge(climb)
            self._keep(climb)
            self._report(climb)

    async def _step(self, climb: Climb) -> None:
        cases = self._plan.rungs.cases(climb.rung + 1)
        climb.before = before = self._beginning(climb, cases)
        self._journal.go_on(climb.number, before)
        try:
            answers = await self._evaluator.answer(climb.configuration, cases, self._spending.allowance())
            climb.take(answers)
            if too_many(climb.failed, climb.attempts, self._plan.max_failures):
                climb.end = "broken"
                climb.reason = f"{climb.failed} of {climb.attempts} attempts failed: {answers.failure}"
        except Broken as broken:
            climb.end, climb.reason = "broken", str(broken)
        made = self._evaluator.attempts_run(climb.configuration, cases)
        climb.case_runs = before.case_runs + max(0, made - before.had)

    def _beginning(self, climb: Climb, cases: Sequence[str]) -> Progress:
        """Where it stands before its next rung; a rung that another process began was begun then."""
        rung = climb.rung + 1
        if climb.before is not None and climb.before.rung == rung:
            return climb.before
        return Progress(
            rung=rung,
            had=self._evaluator.attempts_run(climb.configuration, cases),
            case_runs=climb.case_runs,
            seconds=climb.seconds,
            candidate=self._candidate(climb),
        )

    def _keep(self, climb: Climb) -> None:
        """For those who look at a study that goes on, and for whoever takes the candidate over."""
        if climb.end is None and climb.before is not None:
            self._journal.go_on(climb.number, replace(climb.before, candidate=self._candidate(climb)))

    def _candidate(self, climb: Climb) -> Candidate:
        measure = self._measure
        return climb.candidate(measure.scores if measure else None, self._plan.limits)

    def _judge(self, climb: Climb) -> None:
        if climb.rung == self._top:
            climb.end = "finished"
        elif reason := self._out_of_reach(climb):
            climb.end, climb.reason = "dropped", reason
        elif self._is_worse(climb):
            climb.end = "dropped"
        elif self._spending.exhausted:
            climb.end = "out of budget"

    def _out_of_reach(self, climb: Climb) -> str:
        """The constraint that it can't meet any more, "" while it can: knobs that are still to be tuned may help with
        the server's. The baseline is what others are held against, and goes on."""
        if climb.number == BASELINE:
            return ""
        total = len(self._plan.rungs.order)
        best = {"quality": (sum(climb.scores.values()) + total - len(climb.scores)) / total}
        known = best if self._plan.inner.parameters else {**climb.at_best, **best}
        missed = (each for each in self._plan.limits if each.metric in known and each.excess(known) > 0)
        return next(
            (f"{each.metric} can't meet {each.bound:g}: at best {known[each.metric]:.3g} now" for each in missed), ""
        )

    def _is_worse(self, climb: Climb) -> bool:
        """Whether its quality is shown to be below that of a candidate of the front that it has nothing over."""
        others = [name for name in self._plan.objectives if name != "quality"]
        members = [
            member
            for member in front(self.candidates, self._plan.objectives) or filter(None, [self._measure])
            if not any(is_better(name, climb.by_rung[-1], member.at_rung(climb.rung)) for name in others)
        ]
        if not members:
            return False
        p = worse_p(climb.scores, max(members, key=_quality).scores, lambda case: self._plan.clusters[case])
        return p <= self._plan.rungs.alphas[climb.rung]

    async def _ended(self, climb: Climb) -> Candidate:
        """The candidate, its knobs tuned when it is the best so far; kept, and told to the sampler.

        The sampler is not told of one that the budget ended: with another budget it goes on.
        """
        candidate = self._candidate(climb)
        if candidate.end == "finished" and candidate.number != BASELINE:
            candidate = await self._tuned(candidate)
        self._journal.end(candidate)
        self._learn()
        self._tell(candidate)
        return candidate

    def _tell(self, candidate: Candidate) -> None:
        if candidate.number != BASELINE and candidate.end != "out of budget":
            self._trials.tell(candidate)

    async def _tuned(self, candidate: Candidate) -> Candidate:
        """With the knobs that suit it best, where it may be the best."""
        best = self.best
        if best is not None and candidate.quality < best.quality:
            return candidate
        return await self._tuner.tuned(candidate, self.candidates)

    def _with_knobs(self, decided: Configuration) -> Configuration:
        """With the best one's knobs, which the next candidates are run with where they may be."""
        knobs = self._tuner.split(self.best.settings)[1] if self.best else {}
        settings = {**knobs, **decided.settings}
        if not knobs or self._plan.inner.is_forbidden(settings):
            return decided
        return self._evaluator.configuration(settings)


def _quality(candidate: Candidate) -> tuple[float, int]:
    """Of several, the first: times, which no two runs have alike, decide nothing here."""
    return candidate.quality, -candidate.number
