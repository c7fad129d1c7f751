"""A candidate on its way through the rungs."""

from dataclasses import dataclass, field

import numpy as np

from tuners.search.candidate import Candidate, End
from tuners.search.evaluator import Answers, Figures, Limit
from tuners.search.journal import Progress
from tuners.search.rungs import Values, projected
from tuners.space.configuration import Configuration


@dataclass(slots=True, kw_only=True)
class Climb:
    """The state of a candidate. `rung` is the last one it completed, -1 before the first; `end` is None while it may go
    on.

    `attempts` is its number of answers, cached ones included; `failed` is how many of those failed without the agent's
    fault. `case_runs` is how many were run for it. `before` is the state at the start of the current rung.
    """

    number: int
    configuration: Configuration
    rung: int = -1
    scores: dict[str, float] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)
    at_best: Figures = field(default_factory=dict)
    by_rung: list[Figures] = field(default_factory=list)
    attempts: int = 0
    failed: int = 0
    case_runs: int = 0
    seconds: float = 0.0
    end: End | None = None
    reason: str = ""
    before: Progress | None = None

    def take(self, answers: Answers) -> None:
        """Takes the answers to the next rung's cases. When the budget ended before the last of them, the candidate
        ends.
        """
        self.scores.update(answers.scores)
        self.attempts += answers.attempts
        self.failed += answers.failed
        if not answers.complete:
            self.end = "out of budget"
            self.figures = self.figures or answers.figures
            return
        self.rung += 1
        self.figures = answers.figures or self.figures
        self.at_best = answers.at_best
        self.by_rung.append(answers.figures)

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.scores.values()))) if self.scores else 0.0

    def quality(self, best: Values | None) -> float:
        """The mean over all of train, or its projection from the cases so far by the scores of the best candidate."""
        return self.mean if self.end == "finished" or best is None else projected(self.scores, best)

    def candidate(self, best: Values | None, limits: tuple[Limit, ...]) -> Candidate:
        """The candidate with its results so far."""
        quality = self.quality(best)
        return Candidate(
            number=self.number,
            settings=self.configuration.settings,
            end=self.end or "unfinished",
            rung=self.rung,
            quality=quality,
            scores=dict(self.scores),
            figures=dict(self.figures),
            by_rung=tuple(dict(each) for each in self.by_rung),
            excess=excesses(limits, self.figures, quality) if self.scores else {},
            case_runs=self.case_runs,
            seconds=self.seconds,
            failed=self.failed,
            reason=self.reason,
        )


def excesses(limits: tuple[Limit, ...], figures: Figures, quality: float) -> dict[str, float]:
    """How far each limit is exceeded; 0 or less when it is met."""
    values = {**figures, "quality": quality}
    return {limit.metric: limit.excess(values) for limit in limits}
