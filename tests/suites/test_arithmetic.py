"""The arithmetic suite: its expected values follow from its own solutions, and its tools refuse nonsense."""

import math
from pathlib import Path

import pytest

from agentbench.suite.suite import load_suite
from agentbench.tools import load_tools
from tests.fakes import toolbox_of

ROOT = Path(__file__).parents[2] / "suites" / "arithmetic"
TOOLS = load_tools(["tools.py:calculator", "tools.py:convert_units"], ROOT)


async def test_every_expected_value_follows_from_its_solution() -> None:
    suite = load_suite(ROOT)
    assert len(suite.cases) == 30
    for case in suite.cases:
        solution = case.metadata["solution"]
        assert 1 <= len(solution) == case.metadata["calls"] <= 3
        results = [await toolbox_of(TOOLS).call(step["name"], step["arguments"]) for step in solution]
        assert all(result.error is None for result in results), case.id
        assert math.isclose(float(str(results[-1].result)), case.expected, rel_tol=1e-5), case.id


@pytest.mark.parametrize(
    ("expression", "result"),
    [("2 + 3 * 4", "14"), ("-(2 ** 3)", "-8.0"), ("sqrt(16) / 2", "2.0"), ("max(1, 7 % 4)", "3"), ("7 // 2", "3")],
)
async def test_calculator(expression: str, result: str) -> None:
    assert (await toolbox_of(TOOLS).call("calculator", {"expression": expression})).result == result


@pytest.mark.parametrize(
    "expression",
    ["__import__('os')", "9**9**9", "(1).__class__", "x", "'a'*3", "1/0", "True", "(-8)**0.5", "1+", "1" * 500, "[1]"],
)
async def test_the_calculator_evaluates_nothing_but_arithmetic(expression: str) -> None:
    call = await toolbox_of(TOOLS).call("calculator", {"expression": expression})
    assert call.result is None
    assert call.error


@pytest.mark.parametrize(
    ("value", "from_unit", "to_unit", "expected"),
    [(1, "mile", "km", 1.609344), (100, "celsius", "fahrenheit", 212.0), (0, "kelvin", "celsius", -273.15)],
)
async def test_convert_units(value: float, from_unit: str, to_unit: str, expected: float) -> None:
    arguments = {"value": value, "from_unit": from_unit, "to_unit": to_unit}
    call = await toolbox_of(TOOLS).call("convert_units", arguments)
    assert float(str(call.result)) == pytest.approx(expected)


@pytest.mark.parametrize(("from_unit", "to_unit"), [("mile", "kg"), ("furlong", "m"), ("celsius", "m")])
async def test_units_that_do_not_go_together_are_refused(from_unit: str, to_unit: str) -> None:
    call = await toolbox_of(TOOLS).call("convert_units", {"value": 1, "from_unit": from_unit, "to_unit": to_unit})
    assert "unit" in str(call.error)
