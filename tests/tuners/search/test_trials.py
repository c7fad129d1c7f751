"""Optuna's trials: their suggestions are the same after a kill, and each is told once."""

from collections.abc import Iterator
from typing import Any

import optuna
import pytest

from tuners.search.candidate import Candidate
from tuners.search.samplers import make_sampler, seeded
from tuners.search.trials import SamplerName, Suggestion, Trials
from tuners.space.parameters import Choices, Range
from tuners.space.space import Space, suggest

SPACE = Space(
    parameters={
        "agent.a": Choices(choices=(0, 1, 2, 3, 4, 5)),
        "agent.b": Range(low=0.0, high=1.0),
        "agent.c": Range(low=1, high=64, log=True),
    }
)


class Killed(Exception):
    """Stands for the death of the process."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


class Storage(optuna.storages.InMemoryStorage):
    """A storage whose process dies when the parameter with the number `dies_in` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_in: int | None = None

    def set_trial_param(self, trial_id: int, param_name: str, param_value_internal: float, distribution: Any) -> None:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in == 0:
                self.dies_in = None
                raise Killed
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)


def trials(study: "optuna.Study", storage: Storage, sampler: SamplerName) -> Trials:
    return Trials(study, storage, SPACE, seeded(sampler, 7))


def study_with(finished: int, sampler: SamplerName) -> tuple["optuna.Study", Storage]:
    """A study with `finished` trials."""
    storage = Storage()
    study = optuna.create_study(direction="maximize", storage=storage)
    trials_of_study = trials(study, storage, sampler)
    for _ in range(finished):
        suggestion = trials_of_study.ask()
        quality = suggestion.settings["agent.b"] / (1 + suggestion.settings["agent.a"])
        trials_of_study.tell(
            Candidate(
                number=suggestion.number,
                settings=suggestion.settings,
                end="finished",
                rung=0,
                quality=quality,
                scores={},
            )
        )
    return study, storage


def next_group(study: "optuna.Study", storage: Storage, sampler: SamplerName) -> list[Suggestion]:
    return trials(study, storage, sampler).ask_together(2, begun=[])


# TPE and GP draw at random until ten trials are finished, NSGA-II for one generation.
@pytest.mark.parametrize(("sampler", "finished"), [("random", 4), ("nsga2", 4), ("tpe", 4), ("tpe", 12), ("gp", 12)])
@pytest.mark.parametrize("killed_at", [3, 5])
def test_a_trial_killed_between_two_parameters_gets_the_same_values(
    sampler: SamplerName, finished: int, killed_at: int
) -> None:
    expected = next_group(*study_with(finished, sampler), sampler)
    study, storage = study_with(finished, sampler)
    storage.dies_in = killed_at
    with pytest.raises(Killed):
        next_group(study, storage, sampler)
    assert len(study.trials) == finished + (1 if killed_at <= 3 else 2)
    assert next_group(study, storage, sampler) == expected


@pytest.mark.parametrize(("sampler", "finished"), [("random", 4), ("tpe", 12), ("gp", 12)])
def test_joint_decisions_are_those_of_the_named_sampler(sampler: SamplerName, finished: int) -> None:
    """They depend on the study's seed and the candidate's number alone, so an older study continues unchanged."""
    found = trials(*study_with(finished, sampler), sampler).ask()
    study, _ = study_with(finished, sampler)
    study.sampler = make_sampler(sampler, (1_000_003 * 7 + found.number) % 2**32)
    trial = study.ask()
    if together := trial.relative_params:
        assert suggest(SPACE, trial) == found.settings
    assert bool(together) == (sampler != "random")


def test_a_trial_that_another_worker_finished_stays_unchanged() -> None:
    study, storage = study_with(0, "random")
    ours, theirs = (trials(study, storage, "random") for _ in range(2))
    first, second = ours.ask_together(2, begun=[])
    assert theirs.ask_together(2, begun=[])[:2] == [first, second]
    for number, quality in ((first.number, 0.25), (second.number, 0.5)):
        theirs.tell(Candidate(number=number, settings={}, end="finished", rung=0, quality=quality, scores={}))
    ours.tell(Candidate(number=first.number, settings={}, end="finished", rung=0, quality=1.0, scores={}))
    ours.drop(second.number)
    assert [trial.value for trial in study.trials[:2]] == [0.25, 0.5]
