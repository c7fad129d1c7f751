"""The best lossless knobs for a candidate, found by sending its recorded traces again: the inner search."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from tuners.search.evaluator import Broken, Figures, Measured, OutOfBudget
from tuners.space.parameters import Choices, Parameter, Range, Subset
from tuners.space.space import Settings, Space

GRID = 4
"""Values that are tried of a range."""

Measure = Callable[[Settings, Settings], Awaitable[Measured]]
"""What a server does under settings with these knobs."""

Improves = Callable[[Figures, Figures], bool]
"""Whether the first figures are better than the second."""


class KnobSearch:
    """One parameter after the other, each value of it with the best found so far of the others.

    `replayed` counts the attempts that were sent again. It stops early when `is_over` says so.
    """

    def __init__(self, space: Space, measure: Measure, improves: Improves, is_over: Callable[[], bool]) -> None:
        self._space = space
        self._measure = measure
        self._improves = improves
        self._is_over = is_over
        self.replayed = 0

    async def best(self, settings: Settings, knobs: Settings) -> tuple[Settings, Figures]:
        """The knobs that do best, starting from `knobs`, and their figures; empty when no server held up."""
        found, figures = knobs, await self._figures(settings, knobs)
        for path, value in self._values():
            trial = {**found, path: value}
            if trial == found or self._is_over() or self._space.is_forbidden({**settings, **trial}):
                continue
            measured = await self._figures(settings, trial)
            if measured and (not figures or self._improves(measured, figures)):
                found, figures = trial, measured
        return found, figures

    async def _figures(self, settings: Settings, knobs: Settings) -> Figures:
        try:
            measured = await self._measure(settings, knobs)
        except (Broken, OutOfBudget):
            return {}
        self.replayed += measured.replayed
        return measured.figures

    def _values(self) -> Iterator[tuple[str, Any]]:
        for path, parameter in self._space.parameters.items():
            for value in values_of(parameter):
                yield path, value


def values_of(parameter: Parameter) -> Sequence[Any]:
    """The values that are tried of a parameter: all choices, some of a range, the whole of a subset."""
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
        return range_.written(value)
    return round(value) if range_.whole else value
