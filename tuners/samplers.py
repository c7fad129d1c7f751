"""Optuna's samplers by name, set up for spaces with conditions and for several workers."""

import warnings
from typing import TYPE_CHECKING, Literal

from agentbench.errors import UserError

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
        needs_torch()
        return samplers.GPSampler(seed=seed)
    return samplers.RandomSampler(seed=seed)


def needs_torch() -> None:
    """`UserError` where it is not there."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UserError("sampler gp needs PyTorch: pip install 'agentbench[serving]', or take tpe") from None
