"""Optuna's samplers by name, set up for spaces with conditions and for several workers. The one module that needs
Optuna to be imported."""

import random
import warnings
from collections.abc import Sequence
from typing import Any

from optuna import Study, samplers
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from tuners.search.trials import DECIDED, Sampler, SamplerName


def make_sampler(name: SamplerName, seed: int) -> BaseSampler:
    """The sampler, seeded. `tpe` models parameters jointly, in groups that occur together."""
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
    """Samplers that suggest the same for the same study's seed and number, given the same trials before, also to a
    trial whose worker was killed between two of its parameters."""
    return lambda number: RepeatableSampler(name, (1_000_003 * seed + number) % 2**32)


class RepeatableSampler(BaseSampler):
    """Delegates to the sampler of this name, for one trial, whichever process begins it and whichever goes on with it.

    What was decided for the trial's parameters together is kept with the trial: some samplers would take a trial that
    is begun again for one of the others. A parameter that is drawn alone is drawn by a seed of its own, whether or not
    the same process drew those before it.
    """

    def __init__(self, name: SamplerName, seed: int) -> None:
        self._name: SamplerName = name
        self._seed = seed
        self._sampler = make_sampler(name, seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if DECIDED in trial.user_attrs:
            return dict(trial.user_attrs[DECIDED])
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        own = random.Random(f"{self._seed} {param_name}").randrange(2**32)
        return make_sampler(self._name, own).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()
