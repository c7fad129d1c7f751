"""The search: a sampler suggests candidates, they climb the rungs, and the best ones get their serving knobs tuned."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tuners.search.budget import Spending
from tuners.search.candidate import BASELINE, Candidate, front, rank
from tuners.search.evaluator import Broken, Evaluator, Limit, is_better, too_many
from tuners.search.journal import Journal, Progress
from tuners.search.knobs import KnobTuner
from tuners.search.rungs import Climb, RungPlan, worse_p
from tuners.search.trials import Trials, grouped
from tuners.space.configuration import Configuration
from tuners.space.space import Settings, Space, combinations

IDLE = 100
"""After this many suggestions in a row that were tried before or are forbidden, the space counts as exhausted."""

STALE = 12
"""After this many of them, the next suggestion is drawn from the untried settings, if those can be listed."""

SMALL = 300
"""Most combinations of a space that is listed."""

Prepare = Callable[[Settings, Sequence[Candidate]], Awaitable[Settings]]
"""Suggested settings, and the candidates so far, to the settings that are tried: with demonstrations from attempts, and
with instructions that a model proposes."""

Report = Callable[[Climb], None]
"""Called after every rung."""


async def as_suggested(settings: Settings, candidates: Sequence[Candidate]) -> Settings:
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The fixed parameters of a search.

    `outer` is the space of the sampler, `inner` the space of the lossless knobs that are tuned by replay. In a flat
    search, `inner` is empty, the knobs are in `outer`, and every candidate answers all cases in one rung. `clusters` is
    by case id. The first `opening` candidates, with the baseline, answer the first rung before any of them continues;
    the best one continues first. The sampler makes `together` suggestions at a time, and those that share a server are
    tried one after the other. A candidate is broken when more than the share `max_failures` of its attempts fail
    without the agent's fault.
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
    """One worker's search; `candidates` are the ended candidates of all workers so far.

    The best candidate is the feasible one with the highest quality on all of train, and of several the one with the
    highest goodput. The quality that the sampler learns of a dropped candidate is projected from the cases that it and
    the reference both answered.
    """

    def __init__(
        self,
        plan: Plan,
        evaluator: Evaluator,
        trials: Trials,
        journal: Journal,
        spending: Spending,
        prepare: Prepare = as_suggested,
        report: Report = lambda climb: None,
    ) -> None:
        self._plan = plan
        self._evaluator = evaluator
        self._trials = trials
        self._journal = journal
        self._spending = spending
        self._prepare = prepare
        self._report = report
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
    def _reference(self) -> Candidate | None:
        """The candidate that others are compared with: the best finished one, if possible one that meets the limits."""
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
        """Reads from the journal what all workers have done."""
        self.candidates = sorted((*self.candidates, *self._journal.news()), key=lambda each: each.number)
        self._begun = self._journal.begun()
        for number in self._begun.keys() - self._decided.keys():
            self._decided[number] = self._evaluator.configuration(self._tuner.split(self._begun[number])[0])
        self._spending.trials = len(self._begun)
        self._spending.case_runs = self._evaluator.spent()

    async def _opening(self) -> AsyncGenerator[Candidate]:
        """The first candidates answer the first rung; then each of them climbs on, the best one first."""
        climbs: list[Climb] = []
        while self._opened < self._plan.opening and (climb := await self._next()):
            climbs.append(climb)
            await self._climb(climb, 0)
        for climb in sorted(climbs, key=lambda climb: -climb.mean):
            await self._climb(climb, self._top)
            yield await self._ended(climb)

    @property
    def _opened(self) -> int:
        """The number of candidates that have begun and are not abandoned."""
        return len(self._journal.begun().keys() - self._journal.abandoned().keys())

    async def _next(self) -> Climb | None:
        """The next candidate: an abandoned one, the baseline, or a new suggestion. None when the budget or the space is
        exhausted.
        """
        self._learn()
        if self._spending.exhausted:
            return None
        for number, settings in self._journal.abandoned().items():
            if climb := self._claim(number, self._evaluator.configuration(settings)):
                return climb
        if BASELINE not in self._begun and (climb := self._claim(BASELINE, self._evaluator.configuration({}))):
            return climb
        return await self._suggested()

    async def _suggested(self) -> Climb | None:
        """The next suggested candidate that is new and that this worker claims."""
        while not (self._spending.over or self._is_exhausted()):
            number, suggested = self._suggestion()
            decided = self._evaluator.configuration(await self._prepare(suggested.settings, self.candidates))
            if self._spending.exhausted:
                self._waiting = {number: suggested, **self._waiting}
                return None
            if self._is_rejected(number, decided):
                continue
            self._decided[number] = decided
            if climb := self._claim(number, self._with_knobs(decided)):
                return climb
            self._learn()
        return None

    def _is_exhausted(self) -> bool:
        """Whether all settings were tried, or too many suggestions in a row were not new."""
        return self._idle >= IDLE or (self._listed is not None and not self._untried())

    @property
    def _idle(self) -> int:
        """The number of suggestions, of all workers, since the last one that became a candidate or since the space was
        extended.
        """
        return self._trials.count - max(self._trials.extended_at, *self._begun, 0)

    def _untried(self) -> list[Settings]:
        """The settings that were not tried, in a space that is listed; empty in a larger space."""
        begun = {self._decided[number].key for number in self._begun}
        return [settings for settings in self._listed or () if self._evaluator.configuration(settings).key not in begun]

    def _suggestion(self) -> tuple[int, Configuration]:
        """The next suggestion of the current group; those that share a server with the last candidate come first.

        When the sampler keeps repeating itself, the suggestion is drawn from the untried settings, if those are listed.
        """
        if not self._waiting:
            if self._idle >= STALE and (untried := self._untried()):
                chance = random.Random(f"{self._plan.seed} {self._trials.count}")
                drawn = self._trials.ask_for(chance.choice(untried))
                return drawn.number, self._evaluator.configuration(drawn.settings)
            group = self._trials.ask_together(self._plan.together, self._begun.keys())
            # Compared without the last candidate's knobs, since no suggestion has knobs yet.
            last = self._decided[list(self._begun)[-1]] if self._begun else self._evaluator.configuration({})
            suggested = {each.number: self._evaluator.configuration(each.settings) for each in group}
            self._waiting = grouped(suggested, last.served)
        number = next(iter(self._waiting))
        return number, self._waiting.pop(number)

    def _claim(self, number: int, configuration: Configuration) -> Climb | None:
        """The candidate's climb; None when another worker has it, or when it exceeds the budget's trials."""
        if not self._journal.claim(number, configuration.settings, self._spending.options.trials):
            return None
        self._begun = {**self._begun, number: configuration.settings}
        self._spending.trials = len(self._begun)
        before = self._journal.progress(number)
        spent = (before.case_runs, before.seconds) if before else (0, 0.0)
        return Climb(number=number, configuration=configuration, case_runs=spent[0], seconds=spent[1], before=before)

    def _is_rejected(self, number: int, decided: Configuration) -> bool:
        """Whether the suggestion is forbidden or was tried before. The sampler then gets its result at once.

        It was tried before if the sampler's decisions are the same: knobs found by replay make no difference.
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
        """Climbs up to rung `top`, until the candidate ends."""
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
            self._store_progress(climb)
            self._report(climb)

    async def _step(self, climb: Climb) -> None:
        """Answers the cases of the next rung; a candidate with too many failures ends as broken."""
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
        ran = self._evaluator.attempts_run(climb.configuration, cases)
        climb.case_runs = before.case_runs + max(0, ran - before.had)

    def _beginning(self, climb: Climb, cases: Sequence[str]) -> Progress:
        """The candidate's state at the beginning of its next rung, which an earlier process may have begun."""
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

    def _store_progress(self, climb: Climb) -> None:
        """Stores the results so far, for reports on a running study and for a worker that takes the candidate over."""
        if climb.end is None and climb.before is not None:
            self._journal.go_on(climb.number, replace(climb.before, candidate=self._candidate(climb)))

    def _candidate(self, climb: Climb) -> Candidate:
        reference = self._reference
        return climb.candidate(reference.scores if reference else None, self._plan.limits)

    def _judge(self, climb: Climb) -> None:
        """Decides after a rung whether the candidate ends, and how."""
        if climb.rung == self._top:
            climb.end = "finished"
        elif reason := self._out_of_reach(climb):
            climb.end, climb.reason = "dropped", reason
        elif self._is_worse(climb):
            climb.end = "dropped"
        elif self._spending.exhausted:
            climb.end = "out of budget"

    def _out_of_reach(self, climb: Climb) -> str:
        """The constraint that the candidate can't meet any more; "" when there is none.

        With knobs to tune, only quality counts, since the knobs may improve the server's figures. The baseline always
        continues, because others are compared with it.
        """
        if climb.number == BASELINE:
            return ""
        total = len(self._plan.rungs.order)
        quality = {"quality": (sum(climb.scores.values()) + total - len(climb.scores)) / total}
        at_best = quality if self._plan.inner.parameters else {**climb.at_best, **quality}
        missed = (each for each in self._plan.limits if each.metric in at_best and each.excess(at_best) > 0)
        return next(
            (f"{each.metric} can't meet {each.bound:g}: it is {at_best[each.metric]:.3g} at best" for each in missed),
            "",
        )

    def _is_worse(self, climb: Climb) -> bool:
        """Whether the candidate is significantly worse in quality than the best front member that it does not beat in
        another objective.
        """
        others = [name for name in self._plan.objectives if name != "quality"]
        members = [
            member
            for member in front(self.candidates, self._plan.objectives) or filter(None, [self._reference])
            if not any(is_better(name, climb.by_rung[-1], member.at_rung(climb.rung)) for name in others)
        ]
        if not members:
            return False
        p = worse_p(climb.scores, max(members, key=_quality).scores, lambda case: self._plan.clusters[case])
        return p <= self._plan.rungs.alphas[climb.rung]

    async def _ended(self, climb: Climb) -> Candidate:
        """The ended candidate, with tuned knobs when it may be the best; the journal and the sampler get it.

        The sampler does not get a candidate that the budget ended, since a larger budget would continue it.
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
        """The candidate with its best knobs; unchanged when its quality is below the best one's."""
        best = self.best
        if best is not None and candidate.quality < best.quality:
            return candidate
        return await self._tuner.tuned(candidate, self.candidates)

    def _with_knobs(self, decided: Configuration) -> Configuration:
        """The configuration with the best candidate's knobs, unless those are forbidden with its settings."""
        knobs = self._tuner.split(self.best.settings)[1] if self.best else {}
        settings = {**knobs, **decided.settings}
        if not knobs or self._plan.inner.is_forbidden(settings):
            return decided
        return self._evaluator.configuration(settings)


def _quality(candidate: Candidate) -> tuple[float, int]:
    """The sort key: quality, then the lower number. Times do not count, since they are not reproducible."""
    return candidate.quality, -candidate.number
