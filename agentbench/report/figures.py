"""Numbers formatted for a reader: with a unit, to three digits; a dash stands for a missing number."""

from collections.abc import Mapping

from agentbench.stats import Estimate
from agentbench.stats.intervals import LEAST_CLUSTERS

NONE = "—"


def seconds(value: float | None) -> str:
    """A duration in ms below 1 s, in s below 100 s, in min below 100 min, else in h."""
    if value is None:
        return NONE
    size = abs(value)
    if size < 0.9995:
        return f"{value * 1000:.3g} ms"
    if size < 100:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if size < 6000 else f"{value / 3600:.3g} h"


def percent(value: float | None) -> str:
    """A fraction (0 to 1) in percent."""
    return NONE if value is None else f"{100 * value:.1f} %"


def rate(value: float | None) -> str:
    """A rate per second, without its unit."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cost(value: float | None) -> str:
    """An amount to three digits, in the currency of the suite's prices."""
    return NONE if value is None else f"{value:.3g}"


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,}"


def at_least(shown: str, unknown: int) -> str:
    """A sum, marked as a lower bound where `unknown` parts are missing from it."""
    return f"≥ {shown}" if unknown and shown != NONE else shown


def points(value: float | None) -> str:
    """A difference of two fractions in percentage points, signed."""
    return NONE if value is None else f"{_signed(100 * value, '.1f')} pts"


def shift(value: float | None) -> str:
    """A difference of two durations (seconds), signed."""
    if value is None:
        return NONE
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return sign + seconds(abs(value))


def digits(value: float) -> str:
    """Three significant digits with trailing zeros, so that numbers in a column have the same precision."""
    return f"{value:#.3g}".rstrip(".")


def ratio(a: float | None, b: float | None) -> str:
    """a / b; a dash where either is missing or b is 0."""
    return NONE if a is None or not b else f"× {digits(a / b)}"


def probability(value: float | None) -> str:
    if value is None:
        return NONE
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


def bounds(low: str, high: str) -> str:
    """Two formatted numbers as a range; a unit that both share is written once."""
    unit = low.partition(" ")[2]
    return f"{low.partition(' ')[0] if unit == high.partition(' ')[2] else low} to {high}"


def interval(estimate: Estimate | None) -> str:
    """A rate's 95 % interval in percent."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"


def no_interval(estimate: Estimate | None) -> str:
    """Why an estimate has no interval: too few cases or too few clusters. Empty where it has one."""
    if estimate is None or estimate.method != "none":
        return ""
    of = f"{estimate.clusters} clusters" if estimate.clusters < estimate.cases else f"{estimate.cases} cases"
    worth = f" worth {estimate.effective_clusters:.1f} of equal size" if estimate.clusters < estimate.cases else ""
    return f"no interval: {of}{worth} are too few ({LEAST_CLUSTERS} needed)"


def time_interval(estimate: Estimate | None) -> str:
    """A duration's 95 % interval; one-sided where the estimate has only one bound."""
    if estimate is None or (estimate.low is None and estimate.high is None):
        return ""
    if estimate.low is None or estimate.high is None:
        return f"at least {seconds(estimate.low)}" if estimate.high is None else f"at most {seconds(estimate.high)}"
    return bounds(seconds(estimate.low), seconds(estimate.high))


def limits(objectives: Mapping[str, float]) -> str:
    """Time limits (seconds) by metric in words."""
    return ", ".join(f"{name} ≤ {seconds(limit)}" for name, limit in objectives.items())


def _signed(value: float, form: str) -> str:
    text = f"{abs(value):{form}}"
    return ("+" if value > 0 else "−" if value < 0 else "±") + text
