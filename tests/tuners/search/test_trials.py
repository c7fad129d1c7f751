"""Trials outlive the process that asked for them."""

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
    """The process is gone."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


class Storage(optuna.storages.InMemoryStorage):
    """Its process dies when the next but so many parameters is to be set."""

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


def study_with(told: int, sampler: SamplerName) -> tuple["optuna.Study", Storage]:
    """So many trials asked and told, one after the other."""
    storage = Storage()
    study = optuna.create_study(direction="maximize", storage=storage)
    asking = trials(study, storage, sampler)
    for _ in range(told):
        suggestion = asking.ask()
        quality = suggestion.settings["agent.b"] / (1 + suggestion.settings["agent.a"])
        asking.tell(
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


def asked(study: "optuna.Study", storage: Storage, sampler: SamplerName) -> list[Suggestion]:
    return trials(study, storage, sampler).ask_together(2, begun=[])


# TPE and GP draw at random until ten trials are told; NSGA-II for a generation.
@pytest.mark.parametrize(("sampler", "told"), [("random", 4), ("nsga2", 4), ("tpe", 4), ("tpe", 12), ("gp", 12)])
@pytest.mark.parametrize("killed_at", [3, 5])
def test_a_trial_killed_between_two_parameters_gets_the_values_it_would_have_had(
    sampler: SamplerName, told: int, killed_at: int
) -> None:
    expected = asked(*study_with(told, sampler), sampler)
    study, storage = study_with(told, sampler)
    storage.dies_in = killed_at
    with pytest.raises(Killed):
        asked(study, storage, sampler)
    assert len(study.trials) == told + (1 if killed_at <= 3 else 2)
    assert asked(study, storage, sampler) == expected


@pytest.mark.parametrize(("sampler", "told"), [("random", 4), ("tpe", 12), ("gp", 12)])
def test_parameters_decided_together_are_what_the_named_sampler_suggests(sampler: SamplerName, told: int) -> None:
    """By the study's seed and the candidate's number alone: studies that were begun go on as they would have."""
    found = trials(*study_with(told, sampler), sampler).ask()
    study, _ = study_with(told, sampler)
    study.sampler = make_sampler(sampler, (1_000_003 * 7 + found.number) % 2**32)
    trial = study.ask()
    if together := trial.relative_params:
        assert suggest(SPACE, trial) == found.settings
    assert bool(together) == (sampler != "random")


def test_a_trial_that_another_worker_told_is_left_as_it_is() -> None:
    study, storage = study_with(0, "random")
    ours, theirs = (trials(study, storage, "random") for _ in range(2))
    first, second = ours.ask_together(2, begun=[])
    assert theirs.ask_together(2, begun=[])[:2] == [first, second]
    for number, quality in ((first.number, 0.25), (second.number, 0.5)):
        theirs.tell(Candidate(number=number, settings={}, end="finished", rung=0, quality=quality, scores={}))
    ours.tell(Candidate(number=first.number, settings={}, end="finished", rung=0, quality=1.0, scores={}))
    ours.drop(second.number)
    assert [trial.value for trial in study.trials[:2]] == [0.25, 0.5]
