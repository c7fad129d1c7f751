"""What one call of `agentbench bench` is to do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from agentbench.loadtest.arrivals import Arrivals
from agentbench.loadtest.point import LoadPoint
from agentbench.loadtest.side import SideSpec
from agentbench.loadtest.workload import Workload

REQUESTS_PER_CLIENT = 4
LEAST_REQUESTS = 16
SECONDS_OF_ARRIVALS = 10
DOUBLINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Sides, loads and bounds, checked. With several sides every point is run `rounds` times, side after side.

    `sweep` doubles the load from the first one on until the server is saturated; else every load in
    `concurrencies` or `rates` is a point (neither: the workload's own recorded times). `requests` 0 is the
    default: four for each client, ten seconds of arrivals, at least 16; or all that a finite
    workload has.
    """

    name: str
    sides: tuple[SideSpec, ...]
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
        """The name with only characters that every file system takes."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-.") or "bench"

    def to_json(self) -> dict[str, Any]:
        """The settings; sides are described by what they turned out to be."""
        found = {name: getattr(self, name) for name in type(self).__dataclass_fields__ if name != "sides"}
        return {**found, "limits": dict(self.limits), "extra_body": dict(self.extra_body), "log_dir": str(self.log_dir)}

    def points(self, workload: Workload) -> list[LoadPoint]:
        """The points in order; of a sweep, as many as it may have."""
        if self.rates:
            return [self._point(workload, rate=rate) for rate in self._loads(self.rates)]
        if self.concurrencies:
            return [self._point(workload, concurrency=int(each)) for each in self._loads(self.concurrencies)]
        return [self._point(workload)]

    def _loads(self, given: tuple[int, ...] | tuple[float, ...]) -> list[float]:
        return [given[0] * 2**step for step in range(DOUBLINGS)] if self.sweep else list(given)

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
