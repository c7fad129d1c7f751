"""The lossless knobs of a candidate: taken from a similar candidate, or searched by replaying its traces."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tuners.search.budget import Spending
from tuners.search.candidate import Candidate
from tuners.search.evaluator import Broken, Evaluator, Figures, Limit, Measured, OutOfBudget
from tuners.search.rungs import excesses
from tuners.space.configuration import Configuration
from tuners.space.parameters import Choices, Parameter, Range, Subset
from tuners.space.space import Settings, Space

GRID = 4
"""The number of values that are tried of a range."""

Measure = Callable[[Configuration, Settings], Awaitable[Measured]]
"""What a server does under a configuration with these knobs."""

Improves = Callable[[Figures, Figures], bool]
"""Whether the first figures are better than the second."""


class KnobSearch:
    """Coordinate search: varies one parameter after another, with the best values so far of the others.

    `replayed` counts the replayed attempts. It stops early when `is_over` returns true.
    """

    def __init__(self, space: Space, measure: Measure, improves: Improves, is_over: Callable[[], bool]) -> None:
        self._space = space
        self._measure = measure
        self._improves = improves
        self._is_over = is_over
        self.replayed = 0

    async def best(self, decided: Configuration, knobs: Settings) -> tuple[Settings, Figures]:
        """The best knobs, starting from `knobs`, and their figures; empty when the server failed with all of them."""
        found, figures = knobs, await self._figures(decided, knobs)
        for path, value in self._values():
            trial = {**found, path: value}
            if trial == found or self._is_over() or self._space.is_forbidden({**decided.settings, **trial}):
                continue
            measured = await self._figures(decided, trial)
            if measured and (not figures or self._improves(measured, figures)):
                found, figures = trial, measured
        return found, figures

    async def _figures(self, decided: Configuration, knobs: Settings) -> Figures:
        try:
            measured = await self._measure(decided, knobs)
        except (Broken, OutOfBudget):
            return {}
        self.replayed += measured.replayed
        return measured.figures

    def _values(self) -> Iterator[tuple[str, Any]]:
        for path, parameter in self._space.parameters.items():
            for value in values_of(parameter):
                yield path, value


def values_of(parameter: Parameter) -> Sequence[Any]:
    """The values to try for a parameter: all choices, some of a range, the full subset."""
    if isinstance(parameter, Choices):
        return parameter.choices
    if isinstance(parameter, Subset):
        return [list(parameter.subset)]
    if not isinstance(parameter, Range):
        return ()
    return sorted({_at(parameter, index / (GRID - 1)) for index in range(GRID)})


def _at(range_: Range, share: float) -> int | float:
    low, high = float(range_.low), float(range_.high)
    value = low * (high / low) ** share if range_.log else low + share * (high - low)
    if range_.step:
        return range_.on_grid(value)
    return round(value) if range_.is_integer else value


SHARE = 0.25
"""The largest share of the search's time that knobs get; then the best ones so far stay."""

SAME_LENGTH = 0.2
"""Knobs found for one candidate are taken over by another whose tokens differ by less than this share."""

LEAST_GAIN = 0.02
"""Knobs are changed for a gain of more than this share."""


class KnobTuner:
    """Tunes knobs over the `inner` space, within the budget and its share of the time."""

    def __init__(self, inner: Space, evaluator: Evaluator, limits: tuple[Limit, ...], spending: Spending) -> None:
        self._inner = inner
        self._evaluator = evaluator
        self._limits = limits
        self._spending = spending
        self._seconds = 0.0

    async def tuned(self, candidate: Candidate, others: Sequence[Candidate]) -> Candidate:
        """The candidate with its best knobs and their figures; `broken` when the server failed with all of them."""
        if not self._inner.parameters:
            return await self._measured(candidate)
        outer, inner = self.split(candidate.settings)
        if (like := self._like(candidate, others)) is not None:
            knobs = self.split(like.settings)[1]
            taken_over = candidate if knobs == inner else replace(candidate, settings={**outer, **knobs}, figures={})
            return await self._measured(taken_over)
        began = self._spending.clock()
        search = KnobSearch(self._inner, self._measure, self._improves, lambda: self._is_over(began))
        knobs, figures = await search.best(self._decided(candidate), inner)
        self._seconds += self._spending.clock() - began
        searched = replace(candidate, settings={**outer, **knobs}, searched=True)
        return self._with(searched, figures, search.replayed)

    async def _measure(self, configuration: Configuration, lossless: Settings) -> Measured:
        """Measures within the remaining budget."""
        measured = await self._evaluator.measure(configuration, lossless, self._spending.allowance())
        self._spending.case_runs += measured.replayed
        return measured

    def _is_over(self, began: float) -> bool:
        took = self._seconds + self._spending.clock() - began
        return self._spending.exhausted or took > SHARE * self._spending.seconds

    def split(self, settings: Settings) -> tuple[Settings, Settings]:
        """The settings that the sampler decides, and the knobs."""
        inner = self._inner.parameters
        return (
            {path: value for path, value in settings.items() if path not in inner},
            {path: value for path, value in settings.items() if path in inner},
        )

    def _like(self, candidate: Candidate, others: Sequence[Candidate]) -> Candidate | None:
        """A candidate with searched knobs on the same server and answers of similar length."""
        served = self._decided(candidate).served
        searched = (each for each in others if each.searched and self._decided(each).served == served)
        return next((each for each in searched if _same_length(candidate.figures, each.figures)), None)

    def _decided(self, candidate: Candidate) -> Configuration:
        """The settings that the sampler decided, without knobs."""
        return self._evaluator.configuration(self.split(candidate.settings)[0])

    async def _measured(self, candidate: Candidate) -> Candidate:
        """The candidate with measured figures, when all its answers were cached under other knobs and a limit needs
        figures.
        """
        if all(limit.metric in candidate.figures or limit.metric == "quality" for limit in self._limits):
            return candidate
        try:
            measured = await self._measure(self._evaluator.configuration(candidate.settings), {})
        except Broken as broken:
            return replace(candidate, end="broken", reason=str(broken))
        except OutOfBudget:
            return replace(candidate, end="out of budget")
        return self._with(candidate, measured.figures, measured.replayed)

    def _with(self, candidate: Candidate, figures: Figures, replayed: int) -> Candidate:
        merged = {**candidate.figures, **figures}
        return replace(
            candidate,
            figures=merged,
            excess=excesses(self._limits, merged, candidate.quality),
            case_runs=candidate.case_runs + replayed,
        )

    def _improves(self, figures: Figures, others: Figures) -> bool:
        """Whether the limits are exceeded less; on a tie, whether goodput is higher."""
        beyond, other = self._beyond(figures), self._beyond(others)
        if abs(beyond - other) > LEAST_GAIN:
            return beyond < other
        return figures.get("goodput", 0.0) > others.get("goodput", 0.0) * (1 + LEAST_GAIN)

    def _beyond(self, figures: Figures) -> float:
        serving = tuple(limit for limit in self._limits if limit.metric != "quality")
        return sum(max(0.0, each) for each in excesses(serving, figures, 0.0).values())


def _same_length(a: Figures, b: Figures) -> bool:
    """Whether the attempts have a similar number of tokens, so that the same knobs suit both."""
    x, y = a.get("tokens", 0.0), b.get("tokens", 0.0)
    return x == y or abs(x - y) <= SAME_LENGTH * max(x, y)
