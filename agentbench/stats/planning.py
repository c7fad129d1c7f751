"""How many cases a gate needs to find the drop one cares about."""

import math

from agentbench.core.errors import UserError
from agentbench.stats.differences import Differences
from agentbench.stats.power import POWER, DropPower

MOST_CASES = 100_000


def planned(cases: int, rate: float, flips: float, repeats: int = 1) -> DropPower:
    """The power to be expected of two runs of so many independent cases.

    `rate` is the pass rate; `flips` the share of single verdicts that differ between two runs of one configuration.
    Averaging over `repeats` leaves 1/repeats of that noise's variance, and nothing of a drop's.
    """
    found = Differences(
        mean=0.0,
        size=flips / repeats,
        square=flips / repeats,
        standard_error=math.sqrt(flips / repeats / cases),
        pairs=float(cases),
        clusters=cases,
        effective=float(cases),
        freedom=float(max(1, cases - 1)),
        verdicts=True,
        independent=True,
        simple=repeats == 1,
    )
    # E[p²] over cases is rate − flips/2; the squared mean of `repeats` verdicts adds its own noise.
    same = (rate - flips / 2 + flips / 2 / repeats) / rate
    return DropPower(rate=rate, same=same, found=found, changed=round(cases * flips))


def cases_needed(
    difference: float, rate: float, flips: float, repeats: int = 1, alpha: float = 0.05, power: float = POWER
) -> int:
    """The least number of cases with which the one-sided test at `alpha` finds a drop of `difference`.

    Raises `UserError` for a drop that can't be, or that more than `MOST_CASES` would be needed for.
    """
    if not 0 < difference <= rate:
        raise UserError(f"a difference of {difference:g} is not above 0 and at most the pass rate, {rate:g}")
    if not 0 <= flips <= 2 * min(rate, 1 - rate):
        most = 2 * min(rate, 1 - rate)
        raise UserError(f"flips of {flips:g} are not from 0 to {most:g}, the most at a pass rate of {rate:g}")

    def enough(cases: int) -> bool:
        return planned(cases, rate, flips, repeats).of(difference, alpha) >= power

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_CASES:
            raise UserError(f"more than {MOST_CASES} cases are needed for a difference of {difference:g}: ask for more")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
