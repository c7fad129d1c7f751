"""Optuna's samplers by name, set up for conditional spaces and several workers. No other module requires Optuna at
import.
"""

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
    """The seeded sampler. `tpe` models parameters jointly, in groups that occur together."""
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
    """Samplers with reproducible suggestions: they depend on the study's seed, the trial's number and the trials before
    it. This holds also for a trial whose worker was killed between two of its parameters.
    """
    return lambda number: RepeatableSampler(name, (1_000_003 * seed + number) % 2**32)


class RepeatableSampler(BaseSampler):
    """Delegates to the sampler of this name for one trial, whichever process begins or continues it.

    The joint decision for a trial's parameters is stored with the trial, since some samplers would count a restarted
    trial among the others. A parameter sampled alone has its own seed, so the result is the same whether or not the
    same process sampled the earlier ones.
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
