"""Optuna's samplers by name, set up for spaces with conditions and for several workers."""

import random
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SamplerName = Literal["tpe", "nsga2", "gp", "random"]

Sampler = Callable[[int], "BaseSampler"]
"""The sampler of a candidate's number."""

KEPT = "decided"
"""The attribute of a trial that holds what its sampler decided on before any of it was set."""


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


def seeded(name: SamplerName, seed: int) -> Sampler:
    """Samplers that suggest the same for the same study's seed and number, given the same trials before.

    Also to a trial whose worker was killed between two of its parameters: see `_drawn_alone` and `_kept`.
    """

    def sampler(number: int) -> "BaseSampler":
        own = (1_000_003 * seed + number) % 2**32
        made = make_sampler(name, own)
        made.sample_independent = _drawn_alone(name, own)  # type: ignore[method-assign]
        made.sample_relative = _kept(made.sample_relative)  # type: ignore[method-assign]
        return made

    return sampler


def _drawn_alone(name: SamplerName, seed: int) -> Callable[..., Any]:
    """Draws a parameter by a seed of its own, whether or not the same process drew those before it."""

    def draw(study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        own = random.Random(f"{seed} {param_name}").randrange(2**32)
        return make_sampler(name, own).sample_independent(study, trial, param_name, param_distribution)

    return draw


def _kept(decide: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Keeps with the trial what was decided for its parameters jointly: some samplers would take a trial that is begun
    again for one of the others."""

    def decided(study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        if KEPT in trial.user_attrs:
            return dict(trial.user_attrs[KEPT])
        if values := decide(study, trial, search_space):
            study._storage.set_trial_user_attr(trial._trial_id, KEPT, values)
        return values

    return decided
