"""The kinds of parameter that a study's space may have, as study.yaml writes them."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tuners.space.instructions import Propose

Condition = Mapping[str, Any]
"""Path of an earlier parameter to the value, or the list of values, that it must have. A list that is itself a value of
the parameter is that value."""


class OneOf(tuple[Any, ...]):
    """The values of a condition, each of them one that its parameter may have."""

    __slots__ = ()


STRICT = ConfigDict(extra="forbid", frozen=True)


def same(a: Any, b: Any) -> bool:
    """Whether two YAML values are one: 1 and 1.0 are, 1 and true are not; numbers may differ by rounding."""
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
    """One of the values listed, any YAML value."""

    model_config = STRICT

    choices: tuple[Any, ...] = Field(min_length=1)
    when: Condition = Field(default_factory=dict)

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values that stand for all, to check that the path takes them."""
        return self.choices

    def has(self, value: Any) -> bool:
        """Whether it may have this value."""
        return is_among(value, self.choices)


class Range(BaseModel):
    """A number from `low` to `high`, both included; whole when `low`, `high` and `step` are."""

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
        """How many whole steps there are from `low` to `high`."""
        assert self.step is not None
        return int((_exact(self.high) - _exact(self.low)) / _exact(self.step))

    def at(self, number: int) -> int | float:
        """The value after so many steps, as one would write it: 0.3, not 0.30000000000000004."""
        assert self.step is not None
        found = _exact(self.low) + number * _exact(self.step)
        return int(found) if self.whole else float(found)

    def written(self, value: int | float) -> int | float:
        """The value on the grid that the number is meant for."""
        return value if self.step is None else self.at(round((value - self.low) / self.step))

    def has(self, value: Any) -> bool:
        """Whether it may have this value."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return same(value, self.written(value)) and not (self.whole and int(value) != value)

    @property
    def whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    @property
    def examples(self) -> tuple[Any, ...]:
        return (self.low, self.high)


class Subset(BaseModel):
    """At least `at_least` of the values listed, in the order listed."""

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
        """Whether it may have this value: enough of the values, in their order."""
        if not isinstance(value, list | tuple) or len(value) < self.at_least:
            return False
        return same(value, [each for each in self.subset if is_among(each, tuple(value))])


class Bootstrap(BaseModel):
    """So many demonstrations, taken from what the study's candidates did right on train; `sets` different ones of each
    number, to choose among."""

    model_config = STRICT

    bootstrap: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    sets: int = Field(1, ge=1)
    when: Condition = Field(default_factory=dict)

    @property
    def values(self) -> tuple[Any, ...]:
        """What is suggested, before the demonstrations are found: a number, or a number and which set of so many."""
        return tuple(
            number if chosen == 0 else {"bootstrap": number, "set": chosen}
            for number in self.bootstrap
            for chosen in range(self.sets if number else 1)
        )

    @property
    def examples(self) -> tuple[Any, ...]:
        return ([{"input": "a question", "output": "its answer"}],)

    def has(self, value: Any) -> bool:
        """Whether it may have this value, of those that are suggested."""
        return is_among(value, self.values)


def _exact(value: int | float) -> Decimal:
    """The number as it is written."""
    return Decimal(repr(value))


Parameter = Choices | Range | Subset | Bootstrap | Propose

KINDS: Mapping[str, type[Parameter]] = {
    "choices": Choices,
    "low": Range,
    "subset": Subset,
    "bootstrap": Bootstrap,
    "propose": Propose,
}
"""The key that tells a kind to the kind."""


def _parsed(value: Any) -> Any:
    """A parameter from YAML; a bare list is its choices."""
    if isinstance(value, Parameter):
        return value
    if value == [] or (isinstance(value, Mapping) and value.get("choices") == []):
        raise ValueError("an empty choice: list the values that it may have")
    shaped = {"choices": value} if isinstance(value, list) else value
    found = [model for key, model in KINDS.items() if isinstance(shaped, Mapping) and key in shaped]
    if len(found) != 1:
        raise ValueError(
            "expected a list of choices, or a mapping with one of: choices; low and high; subset; bootstrap; propose"
        )
    return found[0].model_validate(shaped)


AnyParameter = Annotated[Parameter, BeforeValidator(_parsed)]
