"""Trials outlive the process that asked for them."""

from collections.abc import Iterator

import optuna
import pytest

from tuners.search.candidate import Candidate
from tuners.search.samplers import SamplerName, seeded
from tuners.search.trials import Suggestion, Trials
from tuners.space.parameters import Choices, Range
from tuners.space.space import Space

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


def study_with(told: int, sampler: SamplerName) -> "optuna.Study":
    """So many trials asked and told, one after the other."""
    study = optuna.create_study(direction="maximize")
    trials = Trials(study, SPACE, seeded(sampler, 7))
    for _ in range(told):
        suggestion = trials.ask()
        quality = suggestion.settings["agent.b"] / (1 + suggestion.settings["agent.a"])
        trials.tell(
            Candidate(
                number=suggestion.number,
                settings=suggestion.settings,
                end="finished",
                rung=0,
                quality=quality,
                scores={},
            )
        )
    return study


def asked(study: "optuna.Study", sampler: SamplerName) -> list[Suggestion]:
    return Trials(study, SPACE, seeded(sampler, 7)).ask_together(2, begun=[])


# TPE and GP draw at random until ten trials are told; NSGA-II for a generation.
@pytest.mark.parametrize(("sampler", "told"), [("random", 4), ("nsga2", 4), ("tpe", 4), ("tpe", 12), ("gp", 12)])
@pytest.mark.parametrize("killed_at", [3, 5])
def test_a_trial_killed_between_two_parameters_gets_the_values_it_would_have_had(
    monkeypatch: pytest.MonkeyPatch, sampler: SamplerName, told: int, killed_at: int
) -> None:
    expected = asked(study_with(told, sampler), sampler)
    study = study_with(told, sampler)
    real, calls = optuna.Trial._suggest, 0

    def dies(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == killed_at:
            raise Killed
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Trial, "_suggest", dies)
        with pytest.raises(Killed):
            asked(study, sampler)
    assert len(study.trials) == told + (1 if killed_at <= 3 else 2)
    assert asked(study, sampler) == expected
