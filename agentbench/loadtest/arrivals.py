"""When an open loop sends: offsets from the start, in seconds, that do not wait for any answer."""

import random
from collections.abc import Iterator
from itertools import count
from typing import Literal

from agentbench.core.errors import unknown_name

Arrivals = Literal["poisson", "gamma", "constant"]
ARRIVALS: tuple[Arrivals, ...] = ("poisson", "gamma", "constant")


def offsets(kind: Arrivals, rate: float, seed: str, burstiness: float = 1.0) -> Iterator[float]:
    """Endless offsets in seconds with a mean of `rate` a second; the first is one gap after 0 (constant: at 0).

    poisson: exponential gaps. gamma: gaps of shape `burstiness` and mean 1/rate, whose coefficient of variation
    is 1/√burstiness: 1 is Poisson, less is burstier, more is more regular. constant: every 1/rate.
    """
    if kind == "constant":
        return (index / rate for index in count())
    if kind not in ARRIVALS:
        raise unknown_name("arrivals", kind, ARRIVALS)
    shape = burstiness if kind == "gamma" else 1.0
    return _accumulated(rate, shape, random.Random(f"arrivals {seed}"))


def _accumulated(rate: float, shape: float, generator: random.Random) -> Iterator[float]:
    at = 0.0
    while True:
        at += generator.gammavariate(shape, 1 / (rate * shape))
        yield at
