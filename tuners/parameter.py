"""The kinds of parameter that a study's space may have, as study.yaml writes them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tuners.propose import Propose

Condition = Mapping[str, Any]
"""Path of an earlier parameter to the value, or the list of values, that it must have."""

STRICT = ConfigDict(extra="forbid", frozen=True)


class Choices(BaseModel):
    """One of the values listed, any YAML value."""

    model_config = STRICT

    choices: tuple[Any, ...] = Field(min_length=1)
    when: Condition = Field(default_factory=dict)

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values that stand for all, to check that the path takes them."""
        return self.choices


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
        return self

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
