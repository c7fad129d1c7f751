"""Pairs of runs drawn from a known truth, to count how often the statistics say what is so.

A case has its own chance to pass, from a beta distribution with the mean `rate` and the correlation `alike` between
repeats of a case; with the chance `shared` it has its cluster's instead. So every case's chance is from that beta
distribution, and the true pass@k is known exactly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from agentbench.stats import Outcome

Floats = NDArray[np.float64]
TYPICAL_S = 0.3
SPREAD = 0.4
CALLS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a pair of runs is drawn from. `size`: cases of a cluster, 1 to 2·size − 1, 1 for independent ones."""

    cases: int
    repeats: int
    size: int
    rate: float
    alike: float
    shared: float

    @property
    def clustered(self) -> bool:
        return self.size > 1

    def pass_at_k(self, k: int) -> float:
        """1 − E[(1 − p)^k]."""
        return 1 - self._moment(k, 1 - self.rate)

    def pass_hat_k(self, k: int) -> float:
        return self._moment(k, self.rate)

    def ttft_s(self, q: float) -> float:
        return float(TYPICAL_S * np.exp(SPREAD * stats.norm.ppf(q)))

    def _moment(self, k: int, rate: float) -> float:
        """E[p^k] of the beta distribution of this mean."""
        weight = (1 - self.alike) / self.alike
        a, b = rate * weight, (1 - rate) * weight
        return float(np.exp(special.betaln(a + k, b) - special.betaln(a, b)))


def a_world(generator: np.random.Generator) -> World:
    """The mix that is claimed for: pass rates 0.05–0.95, 20–400 cases, half of them in clusters, repeats 1–5."""
    return World(
        cases=int(generator.choice([20, 50, 100, 200, 400])),
        repeats=int(generator.integers(1, 6)),
        size=int(generator.choice([1, 1, 1, 2, 5, 10])),
        rate=float(generator.uniform(0.05, 0.95)),
        alike=float(generator.choice([0.2, 0.5, 0.8])),
        shared=float(generator.choice([0.3, 0.6])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The cases of a suite: their clusters, chances to pass and latencies (what of them the two runs share)."""

    world: World
    clusters: tuple[str, ...]
    chances: Floats
    slowness: Floats

    def run(self, generator: np.random.Generator, drop: float = 0.0, *, light: bool = False) -> list[Outcome]:
        """One run; with a `drop` cases at random fail always, so many that the rate is so much lower.

        `light`: verdicts only.
        """
        kept = self.chances * (generator.random(len(self.chances)) >= drop / self.world.rate)
        shape = (len(kept), self.world.repeats)
        passed = generator.random(shape) < kept[:, None]
        scores = None if light else _graded(generator, np.broadcast_to(kept[:, None], shape))
        ttft = None if light else self._ttft(generator)
        return [
            Outcome(
                case_id=f"c{case:03}",
                cluster=self.clusters[case],
                repeat=repeat,
                passed=bool(passed[case, repeat]),
                scores={} if scores is None else {"graded": float(scores[case, repeat])},
                ttft_s=() if ttft is None else tuple(ttft[case, repeat]),
            )
            for case in range(shape[0])
            for repeat in range(shape[1])
        ]

    def _ttft(self, generator: np.random.Generator) -> Floats:
        own = generator.normal(size=(len(self.chances), self.world.repeats, CALLS))
        latent = np.sqrt(0.5) * self.slowness[:, None, None] + np.sqrt(0.5) * own
        return np.asarray(TYPICAL_S * np.exp(SPREAD * latent))


def _graded(generator: np.random.Generator, chances: Floats) -> Floats:
    """Scores in [0, 1] with these means."""
    inside = np.clip(chances, 1e-6, 1 - 1e-6)
    return generator.beta(5 * inside, 5 * (1 - inside))


def a_population(world: World, generator: np.random.Generator) -> Population:
    sizes: list[int] = []
    while sum(sizes) < world.cases:
        sizes.append(int(generator.integers(1, 2 * world.size)) if world.clustered else 1)
    cluster = np.repeat(np.arange(len(sizes)), sizes)[: world.cases]
    weight = (1 - world.alike) / world.alike

    def chances(number: int) -> Floats:
        return generator.beta(world.rate * weight, (1 - world.rate) * weight, size=number)

    joined = (generator.random(world.cases) < world.shared) if world.clustered else np.zeros(world.cases, dtype=bool)
    latent = generator.normal(size=len(sizes))[cluster]
    return Population(
        world=world,
        clusters=tuple(f"k{number}" for number in cluster),
        chances=np.where(joined, chances(len(sizes))[cluster], chances(world.cases)),
        slowness=np.where(joined, latent, generator.normal(size=world.cases)),
    )
