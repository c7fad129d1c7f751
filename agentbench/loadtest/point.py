"""A point of a sweep: one load."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from agentbench.loadtest.arrivals import Arrivals, offsets


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """Closed loop of `concurrency` sessions, open loop of `rate` sessions a second, or neither: as recorded.

    It ends after `requests` sessions or after `duration_s`, whichever is first; 0 is no bound. `seed` decides
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
        """The number on the load axis."""
        return self.concurrency or self.rate

    def offsets(self) -> Iterator[float] | None:
        """Of an open loop; None when the sessions' own are to be used."""
        return offsets(self.arrivals, self.rate, self.seed, self.burstiness) if self.rate else None

    def round(self, number: int) -> "LoadPoint":
        """The same load with prompts and arrivals of its own: a server must not know them from another round."""
        return replace(self, seed=f"{self.seed} round {number}")

    def to_json(self) -> dict[str, Any]:
        kind = "closed" if self.concurrency else "open" if self.rate else "recorded"
        facts: dict[str, Any] = {"kind": kind, "label": self.label, "requests": self.requests, "warmup": self.warmup}
        if self.concurrency:
            facts["concurrency"] = self.concurrency
        if self.rate:
            facts |= {"rate": self.rate, "arrivals": self.arrivals, "burstiness": self.burstiness}
        return {**facts, "duration_s": self.duration_s, "seed": self.seed}
