"""Spaces: parameters from YAML, conditions, forbidden combinations."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from agentbench.core.errors import UserError
from tuners.space.parameters import AnyParameter, Choices, Range, Subset
from tuners.space.space import Space, combinations, labels_of, suggest


class File(BaseModel):
    space: Mapping[str, AnyParameter]


def read(**space: Any) -> Space:
    return Space(parameters=File.model_validate({"space": space}).space)


class Script:
    """A suggester that takes the value at this share of each range."""

    def __init__(self, share: float) -> None:
        self.share = share

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[min(len(choices) - 1, int(self.share * len(choices)))]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return low + step * int(self.share * ((high - low) // step))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return low + self.share * (high - low)


def test_the_shape_of_an_entry_says_its_kind() -> None:
    space = read(
        output=["free", "json_schema"],
        turns={"low": 1, "high": 8},
        temperature={"low": 0.0, "high": 1.0, "step": 0.5},
        tools={"subset": ["a", "b", "c"], "at_least": 2},
    )
    assert list(map(type, space.parameters.values())) == [Choices, Range, Range, Subset]
    assert suggest(space, Script(0.0)) == {"output": "free", "turns": 1, "temperature": 0.0, "tools": ["a", "b"]}
    assert suggest(space, Script(0.99)) == {
        "output": "json_schema",
        "turns": 7,
        "temperature": 1.0,
        "tools": ["a", "b", "c"],
    }


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([], "an empty choice"),
        ({"low": 3, "high": 1}, "low = 3 is above high = 1"),
        ({"low": 0, "high": 1, "log": True}, "starts above 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "log or step"),
        ({"low": 0, "high": 1, "step": 0.3}, r"steps of 0.3 from 0 do not reach high = 1: make high 0.9"),
        ({"low": 1, "high": 10, "step": 4}, r"do not reach high = 10: make high 9"),
        ({"subset": ["a"], "at_least": 2}, "at_least = 2 of 1"),
        ({"choices": ["a"], "low": 1, "high": 2}, "expected a list of choices"),
        ({"chioces": ["a"]}, "expected a list of choices"),
        ("a", "expected a list of choices"),
    ],
)
def test_an_invalid_parameter_is_refused(entry: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(path=entry)


def test_a_parameter_is_decided_only_where_its_condition_holds() -> None:
    space = read(
        output=["free", "json_schema"],
        format={"choices": ["json", "signature"], "when": {"output": "json_schema"}},
        depth={"low": 1, "high": 4, "when": {"format": ["json"]}},
    )
    assert suggest(space, Script(0.0)) == {"output": "free"}
    assert suggest(space, Script(0.99)) == {"output": "json_schema", "format": "signature"}


def test_a_condition_names_a_parameter_decided_before() -> None:
    with pytest.raises(UserError, match="names 'b', which comes later"):
        read(a={"choices": [1], "when": {"b": 1}}, b=[1])
    with pytest.raises(UserError, match="names 'c', which is not in the space"):
        read(a={"choices": [1], "when": {"c": 1}})


def test_a_forbidden_combination_is_forbidden() -> None:
    parameters = read(dtype=["float32", "bfloat16"], quantization=["none", "int4", "int8"]).parameters
    space = Space(parameters=parameters, forbidden=({"dtype": "float32", "quantization": ["int4", "int8"]},))
    assert space.is_forbidden({"dtype": "float32", "quantization": "int4"})
    assert not space.is_forbidden({"dtype": "bfloat16", "quantization": "int4"})
    assert not space.is_forbidden({"dtype": "float32"})
    with pytest.raises(UserError, match="forbidden names 'threads'"):
        Space(parameters=parameters, forbidden=({"threads": 2},))


def test_a_part_of_a_space_drops_conditions_on_other_parameters() -> None:
    space = read(output=["free", "tools"], knob={"low": 1, "high": 4, "when": {"output": "tools"}})
    inner = space.only(frozenset({"knob"}))
    assert suggest(inner, Script(0.99)) == {"knob": 3}


@given(st.lists(st.integers(), min_size=1, max_size=6, unique=True), st.data())
def test_a_subset_has_enough_values_in_their_order(values: list[int], data: st.DataObject) -> None:
    least = data.draw(st.integers(0, len(values)))
    bits = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))

    class Bits(Script):
        def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
            return int(bits[int(name.partition("[")[2][:-1])])

    chosen = suggest(read(tools={"subset": values, "at_least": least}), Bits(0))["tools"]
    assert len(chosen) >= least
    assert [value for value in values if value in chosen] == chosen
    assert all(value in chosen for value, bit in zip(values, bits, strict=True) if bit)


def test_combinations_are_those_whose_conditions_hold_and_that_are_not_forbidden() -> None:
    space = Space(
        parameters={
            "agent.a": Choices(choices=("x", "y")),
            "agent.b": Choices(choices=(1, 2), when={"agent.a": "y"}),
        },
        forbidden=({"agent.a": "y", "agent.b": 2},),
    )
    assert combinations(space, 10) == [{"agent.a": "x"}, {"agent.a": "y", "agent.b": 1}]
    assert combinations(space, 2) is None
    assert combinations(Space(parameters={"agent.a": Range(low=0, high=1)}), 10) is None


def test_every_value_has_a_label_of_its_own() -> None:
    long = "x" * 100
    assert labels_of(["free", None, [1, 2], long]) == ("free", "None", "[1, 2]", "x" * 60)
    assert labels_of([1, "1", "0: 1"]) == ("0: 1", "1: 1", "2: 0: 1")
    values = [1, "1", None, [1, 2]]
    space = read(a=values)
    assert [suggest(space, Script(share))["a"] for share in (0.0, 0.3, 0.6, 0.9)] == values


def test_a_value_on_a_grid_is_the_decimal_number_of_the_file() -> None:
    class Third(Script):
        def suggest_float(
            self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
        ) -> float:
            return low + 3 * (step or 0.0)

    parameters = read(t={"low": 0.0, "high": 0.6, "step": 0.1}, b={"choices": ["x"], "when": {"t": 0.3}}).parameters
    space = Space(parameters=parameters, forbidden=({"t": [0.3, 0.6]},))
    assert 3 * 0.1 != 0.3
    assert suggest(space, Third(0.0)) == {"t": 0.3, "b": "x"}
    assert space.is_forbidden({"t": 0.1 + 0.2})
    assert not space.is_forbidden({"t": 0.2})


def test_a_condition_may_name_a_list_or_several_values_and_distinguishes_true_from_1() -> None:
    space = read(
        tools=[["search"], ["search", "calculator"], []],
        depth={"choices": [1, 2], "when": {"tools": ["search"]}},
        width={"choices": [1, 2], "when": {"tools": [["search"], []]}},
        parts={"subset": ["a", "b"]},
        both={"choices": [1], "when": {"parts": ["a", "b"]}},
        flag=[True, 1],
        only={"choices": [1], "when": {"flag": 1}},
    )
    found = suggest(space, Script(0.0))
    assert (found["depth"], found["width"], "both" in found, "only" in found) == (1, 1, False, False)
    found = suggest(space, Script(0.4))
    assert ("depth" in found, "width" in found) == (False, False)
    found = suggest(space, Script(0.99))
    assert ("depth" in found, found["width"], found["both"], found["only"]) == (False, 2, 1, 1)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"kind": "xml"}, r"kind = 'xml': it never has this value; it is one of \['json', 'text'\]"),
        ({"kind": ["json", "xml"]}, "kind = 'xml': it never has this value"),
        ({"kind": []}, r"kind = \[\]: it names no value"),
        ({"depth": 0.25}, "depth = 0.25: it never has this value; it goes from 0.0 to 1.0 by 0.5"),
        ({"depth": 2}, "depth = 2: it never has this value"),
        ({"tools": "a"}, r"tools = 'a': it never has this value; it is a list of at least 1 of \['a', 'b'\]"),
        ({"tools": ["b", "a"]}, "tools = 'b': it never has this value"),
    ],
)
def test_a_condition_on_a_value_that_its_parameter_never_has_is_refused(
    condition: dict[str, Any], message: str
) -> None:
    others = {
        "kind": ["json", "text"],
        "depth": {"low": 0.0, "high": 1.0, "step": 0.5},
        "tools": {"subset": ["a", "b"]},
    }
    with pytest.raises(UserError, match=f"space.x.when: {message}"):
        read(**others, x={"choices": [1], "when": condition})
    with pytest.raises(UserError, match=f"forbidden: .*{message}"):
        Space(parameters=read(**others).parameters, forbidden=(condition,))


def test_a_combination_of_knobs_and_other_parameters_stays_forbidden_in_a_part() -> None:
    parameters = read(quantization=["none", "int4"], knob=[1, 2]).parameters
    space = Space(parameters=parameters, forbidden=({"quantization": "int4", "knob": 2},))
    inner = space.only(frozenset({"knob"}))
    assert inner.is_forbidden({"quantization": "int4", "knob": 2})
    assert not inner.is_forbidden({"quantization": "none", "knob": 2})
    assert not space.only(frozenset({"quantization"})).is_forbidden({"quantization": "int4"})
