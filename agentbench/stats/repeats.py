"""pass@k and pass^k: a case right at least once, or every time, in k tries, from n ≥ k repeats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from agentbench.core.errors import UserError
from agentbench.stats.estimates import Estimate, mean_estimate
from agentbench.stats.samples import CaseSample, CaseSamples


def pass_at_k(trials: int, passed: int, k: int) -> float:
    """1 − C(n−c, k)/C(n, k): the chance that at least one of k tries is right (Chen et al. 2021)."""
    _check(trials, k)
    return 1 - comb(trials - passed, k) / comb(trials, k)


def pass_hat_k(trials: int, passed: int, k: int) -> float:
    """C(c, k)/C(n, k): the chance that all of k tries are right (τ-bench, Yao et al. 2024)."""
    _check(trials, k)
    return comb(passed, k) / comb(trials, k)


def pass_at_k_estimate(samples: Sequence[CaseSample], k: int) -> Estimate | None:
    """pass@k averaged over cases, with its interval; None without cases."""
    return _estimate(samples, k, pass_at_k)


def pass_hat_k_estimate(samples: Sequence[CaseSample], k: int) -> Estimate | None:
    """pass^k averaged over cases, with its interval; None without cases."""
    return _estimate(samples, k, pass_hat_k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """pass@k and pass^k for the k that was asked, over the cases with k verdicts; None when there is no such case."""

    k: int
    pass_at_k: Estimate | None
    pass_hat_k: Estimate | None


def repeated(samples: Sequence[CaseSample], k: int) -> Repeated | None:
    """Both for a run of k repeats, None of a single one. A case of which an attempt has no verdict is left out: fewer
    tries are another question, not an estimate of this one."""
    if k < 2:
        return None
    return Repeated(k=k, pass_at_k=pass_at_k_estimate(_complete(samples, k), k), pass_hat_k=pass_hat_k_of(samples, k))


def pass_hat_k_of(samples: Sequence[CaseSample], k: int) -> Estimate | None:
    """pass^k over the cases that have k verdicts or more; None when there is none."""
    return pass_hat_k_estimate(_complete(samples, k), k)


def _complete(samples: Sequence[CaseSample], k: int) -> list[CaseSample]:
    return [sample for sample in samples if len(sample.values) >= k]


def _check(trials: int, k: int) -> None:
    if not 1 <= k <= trials:
        raise UserError(
            f"k = {k} is not from 1 to {trials}, the repeats of a case that did not fail;"
            " choose a smaller k, or run more repeats"
        )


def _estimate(samples: Sequence[CaseSample], k: int, metric: Callable[[int, int, int], float]) -> Estimate | None:
    """A case's pass@k is one value of it, whose mean has the interval of any mean."""
    cases = CaseSamples.of(samples)
    values = np.array([metric(len(case.values), round(sum(case.values)), k) for case in cases], dtype=np.float64)
    return mean_estimate(CaseSamples(cases.case_ids, cases.clusters, np.arange(len(cases)), values))
