"""Optuna's samplers by name, set up for spaces with conditions and for several workers."""

import warnings
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SamplerName = Literal["tpe", "nsga2", "gp", "random"]


def make_sampler(name: SamplerName, seed: int) -> "BaseSampler":
    """The sampler, seeded. `tpe` models parameters jointly, in groups that occur together."""
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    if name == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    if name == "nsga2":
        return samplers.NSGAIISampler(seed=seed)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    return samplers.RandomSampler(seed=seed)
