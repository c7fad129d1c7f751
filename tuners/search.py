"""The search: candidates are suggested, climb the rungs, and those that reach the top get their serving knobs tuned."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from agentbench.config import canonical_hash
from tuners.budget import Spending
from tuners.candidate import Candidate, End
from tuners.evaluator import Broken, Evaluator, Figures, Limit
from tuners.rungs import RungPlan, projected, worse_p
from tuners.space import Settings, Space, suggest

if TYPE_CHECKING:
    from optuna import Study, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a search goes by. `lossless` are the paths in the space that never change an answer.

    With `factorized` they are left out of what the sampler suggests and tuned by `knobs`, the settings of them that
    are tried on a candidate that reaches the top; without, they are parameters like any other and every candidate
    answers all cases (the flat search, kept for comparison, is this with one rung).
    """

    space: Space
    rungs: RungPlan
    clusters: Mapping[str, str]
    limits: tuple[Limit, ...]
    lossless: frozenset[str] = frozenset()
    knobs: tuple[Settings, ...] = ()
    factorized: bool = True
    seed: int = 0


class Search:
    """One worker's search in an Optuna study; `candidates` is all it has tried.

    The best so far is the feasible candidate of the highest quality on all of train: every other is held against
    it, case by case.
    """

    def __init__(self, plan: Plan, evaluator: Evaluator, study: "Study", spending: Spending) -> None:
        self._plan = plan
        self._evaluator = evaluator
        self._study = study
        self._spending = spending
        self._space = self._outer(plan.space) if plan.factorized else plan.space
        self._knobs: Settings = {}
        self._ended: dict[str, Candidate] = {}
        self.candidates: list[Candidate] = []

    def _outer(self, space: Space) -> Space:
        return space.only(frozenset(space.parameters) - self._plan.lossless)

    @property
    def best(self) -> Candidate | None:
        feasible = [candidate for candidate in self.candidates if candidate.feasible]
        return max(feasible, key=lambda candidate: candidate.quality, default=None)

    async def run(self) -> AsyncGenerator[Candidate]:
        """Candidates as they end, until the budget is used up or a hundred suggestions in a row were known."""
        repeated = 0
        while not self._spending.over and repeated < 100:
            trial = self._study.ask()
            settings = suggest(self._space, trial)
            known = self._ended.get(canonical_hash(settings))
            repeated = repeated + 1 if known else 0
            candidate = replace(known, case_runs=0) if known else await self._tried(trial, settings)
            self._tell(trial, candidate)
            if known is None:
                self._ended[canonical_hash(settings)] = candidate
                self.candidates.append(candidate)
                self._spending.trials += 1
                yield candidate

    async def _tried(self, trial: "Trial", settings: Settings) -> Candidate:
        if self._plan.space.is_forbidden(settings):
            return self._ending(trial, settings, "forbidden", 0, {}, {}, 0)
        try:
            return await self._climb(trial, {**self._knobs, **settings})
        except Broken:
            return self._ending(trial, settings, "broken", 0, {}, {}, 0)

    async def _climb(self, trial: "Trial", settings: Settings) -> Candidate:
        """Up the rungs for as long as it is not shown to be worse than the best."""
        plan, best = self._plan.rungs, self.best
        scores: dict[str, float] = {}
        figures: Figures = {}
        spent = 0
        for rung in range(len(plan.sizes)):
            answers = await self._evaluator.answer(settings, plan.cases(rung), self._plan.seed)
            scores.update(answers.scores)
            figures = answers.figures
            spent += answers.fresh
            self._spending.case_runs += answers.fresh
            if rung < len(plan.alphas) and best is not None and self._is_worse(scores, best, plan.alphas[rung]):
                return self._ending(trial, settings, "dropped", rung, scores, figures, spent)
            if self._spending.over and rung < len(plan.alphas):
                return self._ending(trial, settings, "out of budget", rung, scores, figures, spent)
        finished = self._ending(trial, settings, "finished", len(plan.alphas), scores, figures, spent)
        return await self._with_knobs(finished) if self._plan.factorized else finished

    def _is_worse(self, scores: Mapping[str, float], best: Candidate, alpha: float) -> bool:
        return worse_p(scores, best.scores, lambda case: self._plan.clusters[case]) <= alpha

    async def _with_knobs(self, candidate: Candidate) -> Candidate:
        """The candidate under the best lossless knobs, where it is the best so far or would be if it met the limits."""
        best = self.best
        if best is not None and candidate.quality <= best.quality:
            return candidate
        tried = [candidate]
        for knobs in self._plan.knobs:
            settings = {**candidate.settings, **knobs}
            measured = await self._evaluator.measure(candidate.settings, knobs)
            self._spending.case_runs += measured.replayed
            spent = tried[-1].case_runs + measured.replayed
            tried.append(
                replace(
                    candidate,
                    settings=settings,
                    figures=measured.figures,
                    excess=self._excess(measured.figures, candidate.quality),
                    case_runs=spent,
                )
            )
        found = min(tried, key=lambda each: (_beyond(each.excess), -each.figures.get("goodput", 0.0)))
        self._knobs = {path: value for path, value in found.settings.items() if path in self._plan.lossless}
        return replace(found, case_runs=tried[-1].case_runs)

    def _ending(
        self,
        trial: "Trial",
        settings: Settings,
        end: End,
        rung: int,
        scores: Mapping[str, float],
        figures: Figures,
        spent: int,
    ) -> Candidate:
        best = self.best
        whole = end == "finished" or best is None
        quality = (float(np.mean(list(scores.values()))) if scores else 0.0) if whole else projected(scores, best.scores)
        return Candidate(
            number=trial.number,
            settings=settings,
            end=end,
            rung=rung,
            quality=quality,
            scores=dict(scores),
            figures=figures,
            excess=self._excess(figures, quality),
            case_runs=spent,
        )

    def _excess(self, figures: Figures, quality: float) -> dict[str, float]:
        known = {**figures, "quality": quality}
        return {limit.metric: limit.excess(known) for limit in self._plan.limits}

    def _tell(self, trial: "Trial", candidate: Candidate) -> None:
        """The sampler learns the quality, projected where the candidate was dropped, and how far limits are exceeded."""
        for metric, excess in candidate.excess.items():
            trial.set_constraint(metric, excess)
        if candidate.end in ("broken", "forbidden"):
            trial.set_constraint("holds up", 1.0)
        trial.set_user_attr("end", candidate.end)
        self._study.tell(trial, candidate.quality)


def _beyond(excess: Mapping[str, float]) -> float:
    return sum(max(0.0, each) for each in excess.values())

