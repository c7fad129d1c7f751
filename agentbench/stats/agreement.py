"""How far two raters agree on pass and fail: per cent, and Cohen's κ, which takes chance off."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentbench.stats.estimates import CONFIDENCE
from agentbench.stats.intervals import normal_quantile

Method = Literal["asymptotic", "cluster bootstrap", "none"]
RESAMPLES = 1000
ROUNDING = 1e-12
"""A variance of κ below this is zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """One attempt that both raters gave a verdict on."""

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


def agree(a: str, b: str, rated: Sequence[Rated], seed: int = 0) -> Agreement:
    """The agreement of two raters on what both rated.

    κ = (p_o − p_e) / (1 − p_e), Cohen 1960. Its interval is the asymptotic one (Fleiss, Cohen & Everitt 1969) when
    every attempt is a cluster of its own, else by bootstrap over clusters: repeats of a case are not independent.
    """
    table = _table(rated)
    clusters = len({each.cluster for each in rated})
    kappa = cohens_kappa(table)
    low, high, method, note = _interval(rated, table, kappa, clusters, seed)
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
    """None without ratings, and where both gave one and the same verdict throughout: chance agrees fully then."""
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


def _interval(
    rated: Sequence[Rated], table: NDArray[np.int64], kappa: float | None, clusters: int, seed: int
) -> Interval:
    if not rated:
        return None, None, "none", "no attempt has a verdict of both"
    if kappa is None:
        verdict = "pass" if table[0, 0] else "fail"
        return None, None, "none", f"κ is undefined: both gave {verdict} every time"
    if clusters < 2:
        return None, None, "none", "no interval: fewer than two clusters"
    if kappa == 1.0:
        return None, None, "none", "no interval: they never disagreed, so its width can't be estimated"
    if clusters == len(rated):
        return _asymptotic(table, kappa)
    return _bootstrap(rated, seed)


def _asymptotic(table: NDArray[np.int64], kappa: float) -> Interval:
    variance = kappa_variance(table, kappa)
    if variance < ROUNDING:
        return None, None, "none", "no interval: the error of κ can't be estimated from these counts"
    half = normal_quantile(CONFIDENCE) * variance**0.5
    return max(-1.0, kappa - half), min(1.0, kappa + half), "asymptotic", ""


def kappa_variance(table: NDArray[np.int64], kappa: float) -> float:
    """Fleiss, Cohen & Everitt 1969, equation 13. Zero, but for rounding, where one margin is empty or κ is −1."""
    shares = table / table.sum()  # p_ij
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    by_chance = float(rows @ columns)
    on = np.diag(shares) @ (1 - (rows + columns) * (1 - kappa)) ** 2
    off = shares * (columns[:, np.newaxis] + rows) ** 2
    np.fill_diagonal(off, 0)
    found = on + (1 - kappa) ** 2 * off.sum() - (kappa - by_chance * (1 - kappa)) ** 2
    return float(found / ((1 - by_chance) ** 2 * table.sum()))


def _bootstrap(rated: Sequence[Rated], seed: int) -> Interval:
    """Whole clusters drawn with replacement; a draw in which κ is undefined says nothing and is left out."""
    grouped: dict[str, list[Rated]] = defaultdict(list)
    for each in rated:
        grouped[each.cluster].append(each)
    tables = np.stack([_table(group) for group in grouped.values()])  # [clusters, 2, 2]
    draws = np.random.default_rng(seed).integers(len(tables), size=(RESAMPLES, len(tables)))
    found = [kappa for draw in draws if (kappa := cohens_kappa(tables[draw].sum(axis=0))) is not None]
    if len(found) < RESAMPLES / 2:
        return None, None, "none", "no interval: κ is undefined in most resamples"
    low, high = np.percentile(found, [50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE])
    return float(low), float(high), "cluster bootstrap", ""
