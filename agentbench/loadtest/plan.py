"""The plan of an `agentbench bench` call: the loads of its sweep, and the arrival times of an open loop."""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any, Literal

from agentbench.core.errors import unknown_name
from agentbench.loadtest.target_server import TargetSpec
from agentbench.loadtest.workload import Workload

Arrivals = Literal["poisson", "gamma", "constant"]
ARRIVALS: tuple[Arrivals, ...] = ("poisson", "gamma", "constant")


def offsets(kind: Arrivals, rate: float, seed: str, burstiness: float = 1.0) -> Iterator[float]:
    """Endless arrival times in seconds at a mean of `rate` per second; the first comes one gap after 0 (constant: at
    0).

    poisson: exponential gaps. gamma: gaps with shape `burstiness` and mean 1/rate, whose coefficient of variation is
    1/√burstiness; 1 is Poisson, less is burstier, more is more regular. constant: every 1/rate.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """A closed loop of `concurrency` sessions, an open loop of `rate` sessions per second, or the recorded times.

    It ends after `requests` sessions or after `duration_s`, whichever comes first; 0 means no bound. `seed` decides
    arrivals and prompts.
    """

    concurrency: int = 0
    rate: float = 0.0
    arrivals: Arrivals = "poisson"
    burstiness: float = 1.0
    requests: int = 0
    duration_s: float = 0.0
    warmup: int = 0
    seed: str = "0"

    @property
    def label(self) -> str:
        if self.concurrency:
            return f"c={self.concurrency}"
        return f"{self.rate:g}/s" if self.rate else "recorded"

    @property
    def load(self) -> float:
        """The point's value on the load axis."""
        return self.concurrency or self.rate

    def offsets(self) -> Iterator[float] | None:
        """The arrival times of an open loop; None when the sessions' own are used."""
        return offsets(self.arrivals, self.rate, self.seed, self.burstiness) if self.rate else None

    def round(self, number: int) -> "LoadPoint":
        """The same load with other prompts and arrivals, so that a server has not cached them in another round."""
        return replace(self, seed=f"{self.seed} round {number}")

    def to_json(self) -> dict[str, Any]:
        kind = "closed" if self.concurrency else "open" if self.rate else "recorded"
        facts: dict[str, Any] = {"kind": kind, "label": self.label, "requests": self.requests, "warmup": self.warmup}
        if self.concurrency:
            facts["concurrency"] = self.concurrency
        if self.rate:
            facts |= {"rate": self.rate, "arrivals": self.arrivals, "burstiness": self.burstiness}
        return {**facts, "duration_s": self.duration_s, "seed": self.seed}


REQUESTS_PER_CLIENT = 4
LEAST_REQUESTS = 16
SECONDS_OF_ARRIVALS = 10
DOUBLINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Sides, loads and bounds, checked. With several sides, every point runs `rounds` times, alternating sides.

    `sweep` doubles the load from the first one until the server is saturated. Otherwise every load in `concurrencies`
    or `rates` is a point; without either, the workload's recorded times are used. `requests` 0 means the default: all
    sessions of a finite workload, otherwise four per client or ten seconds of arrivals, at least 16.
    """

    name: str
    sides: tuple[TargetSpec, ...]
    concurrencies: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    arrivals: Arrivals = "poisson"
    burstiness: float = 1.0
    requests: int = 0
    duration_s: float = 0.0
    warmup: int = 2
    seed: int = 0
    rounds: int = 1
    sweep: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    vocab: tuple[int, int] = (1000, 30000)
    timeout_s: float = 600.0
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    log_dir: Path = Path("results") / "logs"

    @property
    def file_name(self) -> str:
        """The name, reduced to characters that every file system accepts."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-.") or "bench"

    def to_json(self) -> dict[str, Any]:
        """The settings; the result describes the sides."""
        found = {name: getattr(self, name) for name in type(self).__dataclass_fields__ if name != "sides"}
        return {**found, "limits": dict(self.limits), "extra_body": dict(self.extra_body), "log_dir": str(self.log_dir)}

    def points(self, workload: Workload) -> list[LoadPoint]:
        """The points in order; for a sweep, its maximum number of points."""
        if self.rates:
            return [self._point(workload, rate=rate) for rate in self._loads(self.rates)]
        if self.concurrencies:
            return [self._point(workload, concurrency=int(each)) for each in self._loads(self.concurrencies)]
        return [self._point(workload)]

    def _loads(self, loads: tuple[int, ...] | tuple[float, ...]) -> list[float]:
        return [loads[0] * 2**step for step in range(DOUBLINGS)] if self.sweep else list(loads)

    def _point(self, workload: Workload, concurrency: int = 0, rate: float = 0.0) -> LoadPoint:
        return LoadPoint(
            concurrency=concurrency,
            rate=rate,
            arrivals=self.arrivals,
            burstiness=self.burstiness,
            requests=self._requests(workload, concurrency, rate),
            duration_s=self.duration_s,
            warmup=self.warmup,
            seed=f"{self.seed} {'c' if concurrency else 'r'}{concurrency or rate:g}",
        )

    def _requests(self, workload: Workload, concurrency: int, rate: float) -> int:
        if self.requests or self.duration_s:
            return self.requests
        return workload.size or max(REQUESTS_PER_CLIENT * concurrency, ceil(SECONDS_OF_ARRIVALS * rate), LEAST_REQUESTS)
