"""The space of a study: parameters by dotted path, their conditions, and forbidden combinations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentbench.core.errors import UserError
from tuners.space.instructions import Propose
from tuners.space.parameters import Bootstrap, Choices, Condition, OneOf, Parameter, Range, Subset, is_among

Settings = Mapping[str, Any]
"""Dotted path to value: a candidate's changes to the baseline. Before a candidate runs, demonstrations are a number and
a proposed instruction is its slot."""

LABEL = 60
"""Most characters of a value's label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Parameters, in the order in which they are decided, and the combinations that are never tried.

    `UserError` when a condition or a forbidden combination names a parameter that does not come before it, or a value
    that the parameter never has.
    """

    parameters: Mapping[str, Parameter]
    forbidden: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        parameters: dict[str, Parameter] = {}
        for path, parameter in self.parameters.items():
            for other in parameter.when:
                if other not in parameters and not isinstance(parameter.when[other], OneOf):
                    place = "comes later" if other in self.parameters else "is not in the space"
                    raise UserError(f"space.{path}.when names {other!r}, which {place}; name a parameter before it")
            when = _checked(f"space.{path}.when", parameter.when, parameters)
            parameters[path] = parameter.model_copy(update={"when": when})
        for combination in self.forbidden:
            unknown = [path for path in combination if not isinstance(combination[path], OneOf)]
            if unknown := sorted(set(unknown) - parameters.keys()):
                raise UserError(f"forbidden names {unknown[0]!r}, which is not in the space: {', '.join(parameters)}")
        forbidden = tuple(_checked("forbidden", each, parameters) for each in self.forbidden)
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "forbidden", forbidden)

    def is_forbidden(self, settings: Settings) -> bool:
        return any(holds(combination, settings) for combination in self.forbidden)

    def only(self, paths: frozenset[str]) -> "Space":
        """The space of these parameters alone.

        Conditions on other parameters are dropped, since those are decided elsewhere. Forbidden combinations stay if
        they name at least one of these parameters.
        """
        parameters = {
            path: parameter.model_copy(update={"when": {k: v for k, v in parameter.when.items() if k in paths}})
            for path, parameter in self.parameters.items()
            if path in paths
        }
        return Space(parameters=parameters, forbidden=tuple(each for each in self.forbidden if set(each) & paths))


def _checked(place: str, condition: Condition, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The condition with `OneOf` values; `UserError` for a value that its parameter never has."""
    return {
        path: values if isinstance(values, OneOf) else _one_of(f"{place}: {path}", values, parameters[path])
        for path, values in condition.items()
    }


def _one_of(place: str, values: Any, parameter: Parameter) -> OneOf:
    if parameter.has(values):
        return OneOf((values,))
    listed = values if isinstance(values, list | tuple) else (values,)
    if not listed:
        raise UserError(f"{place} = []: it names no value")
    if unknown := [each for each in listed if not parameter.has(each)]:
        raise UserError(f"{place} = {unknown[0]!r}: it never has this value; {_values_of(parameter)}")
    return OneOf(listed)


def _values_of(parameter: Parameter) -> str:
    """The parameter's values, in words."""
    if isinstance(parameter, Range):
        return f"it goes from {parameter.low} to {parameter.high}" + f" by {parameter.step}" * bool(parameter.step)
    if isinstance(parameter, Subset):
        return f"it is a list of at least {parameter.at_least} of {list(parameter.subset)}, in this order"
    return f"it is one of {list(parameter.choices if isinstance(parameter, Choices) else parameter.values)}"


def holds(condition: Condition, settings: Settings) -> bool:
    """Whether each path of the condition has one of its values in the settings; an undecided path has none."""
    return all(path in settings and is_among(settings[path], values) for path, values in condition.items())


def combinations(space: Space, most: int) -> list[dict[str, Any]] | None:
    """All combinations whose conditions hold and that are not forbidden.

    None when there are more than `most`, or when a parameter is no list of choices.
    """
    found: list[dict[str, Any]] = [{}]
    for path, parameter in space.parameters.items():
        if not isinstance(parameter, Choices):
            return None
        found = [
            {**settings, **chosen}
            for settings in found
            for chosen in ([{path: value} for value in parameter.choices] if holds(parameter.when, settings) else [{}])
        ]
        if len(found) > most:
            return None
    return [settings for settings in found if not space.is_forbidden(settings)]


class Suggester(Protocol):
    """Decides on values: Optuna's `Trial`, or a script in a test."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...


def suggest(space: Space, trial: Suggester) -> dict[str, Any]:
    """The settings that `trial` decides on: the parameters whose condition holds, in the space's order."""
    settings: dict[str, Any] = {}
    for path, parameter in space.parameters.items():
        if holds(parameter.when, settings):
            settings[path] = _suggest(path, parameter, trial)
    return settings


def _suggest(path: str, parameter: Parameter, trial: Suggester) -> Any:
    if isinstance(parameter, Choices):
        return _chosen(path, parameter.choices, trial)
    if isinstance(parameter, Bootstrap | Propose):
        return _chosen(path, parameter.values, trial)
    if isinstance(parameter, Subset):
        return _subset(path, parameter, trial)
    return _number(path, parameter, trial)


def _chosen(path: str, values: Sequence[Any], trial: Suggester) -> Any:
    labels = labels_of(values)
    return values[labels.index(trial.suggest_categorical(path, labels))]


def labels_of(values: Sequence[Any]) -> tuple[str, ...]:
    """Short, distinct names for the values, since a sampler's storage takes no lists or mappings."""
    short = tuple(" ".join(str(value).split())[:LABEL] for value in values)
    alike = len(set(short)) < len(short)
    return tuple(f"{number}: {label}" for number, label in enumerate(short)) if alike else short


def label_of(parameter: Parameter, value: Any) -> str:
    """The label of a choice."""
    assert isinstance(parameter, Choices)
    return labels_of(parameter.choices)[list(parameter.choices).index(value)]


def _subset(path: str, parameter: Subset, trial: Suggester) -> list[Any]:
    """A subset from one yes-or-no decision per value; the first missing values are added when it is too small."""
    chosen = [bool(trial.suggest_categorical(f"{path}[{i}]", (0, 1))) for i in range(len(parameter.subset))]
    for index in range(len(parameter.subset)):
        if sum(chosen) >= parameter.at_least:
            break
        chosen[index] = True
    return [value for value, taken in zip(parameter.subset, chosen, strict=True) if taken]


def _number(path: str, parameter: Range, trial: Suggester) -> int | float:
    low, high, step = parameter.low, parameter.high, parameter.step
    if parameter.is_integer:
        return trial.suggest_int(path, int(low), int(high), step=int(step or 1), log=parameter.log)
    return parameter.on_grid(trial.suggest_float(path, float(low), float(high), step=step, log=parameter.log))
