"""The kinds of parameter that a study's space may have, as study.yaml writes them."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tuners.space.instructions import Propose

Condition = Mapping[str, Any]
"""Path of an earlier parameter to the value that it must have, or to a list of such values. A list that is itself a
value of the parameter means that one value."""


class OneOf(tuple[Any, ...]):
    """The values of a checked condition; all of them are valid for their parameter."""

    __slots__ = ()


STRICT = ConfigDict(extra="forbid", frozen=True)


def same(a: Any, b: Any) -> bool:
    """Whether two YAML values are equal: 1 equals 1.0, but not true; numbers may differ by rounding."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    return bool(a == b)


def is_among(value: Any, values: tuple[Any, ...]) -> bool:
    return any(same(value, each) for each in values)


class Choices(BaseModel):
    """One of the listed values; any YAML value is allowed."""

    model_config = STRICT

    choices: tuple[Any, ...] = Field(min_length=1)
    when: Condition = Field(default_factory=dict)

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values that a check tries at the path, in place of all values."""
        return self.choices

    def has(self, value: Any) -> bool:
        """Whether the value is valid for the parameter."""
        return is_among(value, self.choices)


class Range(BaseModel):
    """A number from `low` to `high`, both included; an integer when `low`, `high` and `step` are integers."""

    model_config = STRICT

    low: int | float
    high: int | float
    step: int | float | None = Field(None, gt=0)
    log: bool = False
    when: Condition = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        if self.log and self.step is not None:
            raise ValueError("a range has log or step, not both")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range starts above 0, low = {self.low}")
        if self.step is not None and not same(self.at(self.steps), self.high):
            raise ValueError(
                f"steps of {self.step} from {self.low} do not reach high = {self.high}: make high {self.at(self.steps)}"
            )
        return self

    @property
    def steps(self) -> int:
        """The number of steps that fit between `low` and `high`."""
        assert self.step is not None
        return int((_exact(self.high) - _exact(self.low)) / _exact(self.step))

    def at(self, number: int) -> int | float:
        """The value after this number of steps, in decimal arithmetic: 0.3, not 0.30000000000000004."""
        assert self.step is not None
        found = _exact(self.low) + number * _exact(self.step)
        return int(found) if self.is_integer else float(found)

    def on_grid(self, value: int | float) -> int | float:
        """The nearest value on the grid of steps; the value itself without a step."""
        return value if self.step is None else self.at(round((value - self.low) / self.step))

    def has(self, value: Any) -> bool:
        """Whether the value is valid for the parameter."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return same(value, self.on_grid(value)) and not (self.is_integer and int(value) != value)

    @property
    def is_integer(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    @property
    def examples(self) -> tuple[Any, ...]:
        return (self.low, self.high)


class Subset(BaseModel):
    """At least `at_least` of the listed values, in their order."""

    model_config = STRICT

    subset: tuple[Any, ...] = Field(min_length=1)
    at_least: int = Field(1, ge=0)
    when: Condition = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> "Subset":
        if self.at_least > len(self.subset):
            raise ValueError(f"at_least = {self.at_least} of {len(self.subset)} values")
        return self

    @property
    def examples(self) -> tuple[Any, ...]:
        return (list(self.subset),)

    def has(self, value: Any) -> bool:
        """Whether the value is a list of enough of the values, in their order."""
        if not isinstance(value, list | tuple) or len(value) < self.at_least:
            return False
        return same(value, [each for each in self.subset if is_among(each, tuple(value))])


class Bootstrap(BaseModel):
    """A number of demonstrations, from the passing attempts of the study's candidates on train.

    Each number has `sets` different sets of demonstrations to choose from.
    """

    model_config = STRICT

    bootstrap: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    sets: int = Field(1, ge=1)
    when: Condition = Field(default_factory=dict)

    @property
    def values(self) -> tuple[Any, ...]:
        """The values that are suggested, before demonstrations replace them: a number, or a number with a set."""
        return tuple(
            number if chosen == 0 else {"bootstrap": number, "set": chosen}
            for number in self.bootstrap
            for chosen in range(self.sets if number else 1)
        )

    @property
    def examples(self) -> tuple[Any, ...]:
        return ([{"input": "a question", "output": "its answer"}],)

    def has(self, value: Any) -> bool:
        """Whether the value is one of the suggested ones."""
        return is_among(value, self.values)


def _exact(value: int | float) -> Decimal:
    """The number in decimal, as Python prints it."""
    return Decimal(repr(value))


Parameter = Choices | Range | Subset | Bootstrap | Propose

KINDS: Mapping[str, type[Parameter]] = {
    "choices": Choices,
    "low": Range,
    "subset": Subset,
    "bootstrap": Bootstrap,
    "propose": Propose,
}
"""The key that identifies each kind of parameter in study.yaml."""


def _parse(value: Any) -> Any:
    """A parameter from YAML; a bare list is a list of choices."""
    if isinstance(value, Parameter):
        return value
    if value == [] or (isinstance(value, Mapping) and value.get("choices") == []):
        raise ValueError("an empty choice: list at least one value")
    shaped = {"choices": value} if isinstance(value, list) else value
    found = [model for key, model in KINDS.items() if isinstance(shaped, Mapping) and key in shaped]
    if len(found) != 1:
        raise ValueError(
            "expected a list of choices, or a mapping with one of: choices; low and high; subset; bootstrap; propose"
        )
    return found[0].model_validate(shaped)


AnyParameter = Annotated[Parameter, BeforeValidator(_parse)]
