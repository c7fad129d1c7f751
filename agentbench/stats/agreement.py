"""Agreement of two raters on pass and fail: per cent, and Cohen's κ, which corrects for chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentbench.stats.estimates import CONFIDENCE
from agentbench.stats.intervals import mean_error, student_quantile
from agentbench.stats.samples import numbered

Method = Literal["jackknife", "none"]
LEAST_CLUSTERS = 10
LEAST_ATTEMPTS = 20
"""Effective clusters and attempts without which no interval is given: it would cover less than it says
(docs/notes/intervals.md)."""
FURTHEST = 0.999
"""|κ| from which on it counts as this in Fisher's z, which is infinite at 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """An attempt with verdicts from both raters."""

    cluster: str
    a: bool
    b: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """`table` counts attempts: [[both pass, a passes and b fails], [a fails and b passes, both fail]].

    `kappa` is None where it is undefined; `note` says why, or why it has no interval [low, high] (95 %).
    """

    a: str
    b: str
    attempts: int
    clusters: int
    table: tuple[tuple[int, int], tuple[int, int]]
    agreement: float | None
    kappa: float | None
    low: float | None
    high: float | None
    method: Method
    note: str


def agree(a: str, b: str, rated: Sequence[Rated]) -> Agreement:
    """The agreement of two raters on the attempts that both rated.

    κ = (p_o − p_e) / (1 − p_e), Cohen 1960. Repeats of a case are not independent, so the interval is a jackknife that
    leaves out one cluster at a time: of Fisher's z = artanh κ, with t of C − 1 degrees of freedom (Miller, The
    jackknife – a review, Biometrika 61, 1974).
    """
    table = _table(rated)
    clusters = len({each.cluster for each in rated})
    kappa = cohens_kappa(table)
    low, high, method, note = _interval(rated, table, kappa, clusters)
    return Agreement(
        a=a,
        b=b,
        attempts=len(rated),
        clusters=clusters,
        table=((int(table[0, 0]), int(table[0, 1])), (int(table[1, 0]), int(table[1, 1]))),
        agreement=float(np.trace(table) / len(rated)) if rated else None,
        kappa=kappa,
        low=low,
        high=high,
        method=method,
        note=note,
    )


def cohens_kappa(table: NDArray[np.int64]) -> float | None:
    """None without ratings, and when both raters always gave the same single verdict: chance agreement is complete
    then.
    """
    total = int(table.sum())
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    by_chance = int(rows @ columns)  # times total²
    if total == 0 or by_chance == total**2:
        return None
    return float((total * int(np.trace(table)) - by_chance) / (total**2 - by_chance))


def _table(rated: Sequence[Rated]) -> NDArray[np.int64]:
    table = np.zeros((2, 2), dtype=np.int64)  # [a: pass, fail; b: pass, fail]
    for each in rated:
        table[int(not each.a), int(not each.b)] += 1
    return table


Interval = tuple[float | None, float | None, Method, str]


def _interval(rated: Sequence[Rated], table: NDArray[np.int64], kappa: float | None, clusters: int) -> Interval:
    if not rated:
        return None, None, "none", "no attempt has a verdict from both"
    if kappa is None:
        verdict = "pass" if table[0, 0] else "fail"
        return None, None, "none", f"κ is undefined: both gave {verdict} every time"
    if clusters < 2:
        return None, None, "none", "no interval: fewer than two clusters"
    if kappa == 1.0:
        return None, None, "none", "no interval: they never disagreed, so its width can't be estimated"
    codes = numbered([each.cluster for each in rated])
    effective = mean_error(np.zeros(len(rated)), codes).effective
    if effective < LEAST_CLUSTERS - 1e-6 or len(rated) < LEAST_ATTEMPTS:
        few = f"{len(rated)} attempts in clusters worth {effective:.1f} of equal size are too few"
        return None, None, "none", f"no interval: {few}; at least {LEAST_ATTEMPTS} in {LEAST_CLUSTERS} are needed"
    return _jackknife(_tables(rated, codes), kappa)


def _tables(rated: Sequence[Rated], codes: NDArray[np.intp]) -> NDArray[np.int64]:
    """The table of each cluster: [clusters, 2, 2]."""
    tables = np.zeros((int(codes.max()) + 1, 2, 2), dtype=np.int64)
    for code, each in zip(codes, rated, strict=True):
        tables[code, int(not each.a), int(not each.b)] += 1
    return tables


def _jackknife(tables: NDArray[np.int64], kappa: float) -> Interval:
    total, count = tables.sum(axis=0), len(tables)
    left = [cohens_kappa(total - table) for table in tables]
    defined = np.array([each for each in left if each is not None])
    if len(defined) < count:
        return None, None, "none", "no interval: κ is undefined without one of the clusters"
    found, others = (np.arctanh(np.clip(each, -FURTHEST, FURTHEST)) for each in (kappa, defined))
    error = float(np.sqrt((count - 1) / count * np.sum((others - found) ** 2)))
    if error < 1e-9 or kappa == -1.0:
        return None, None, "none", "no interval: the error of κ can't be estimated from these counts"
    spread = student_quantile(CONFIDENCE, count - 1) * error
    return float(np.tanh(found - spread)), float(np.tanh(found + spread)), "jackknife", ""
