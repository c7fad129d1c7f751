"""Numbers as models write them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.core.errors import UserError
from agentbench.core.trace import Trace
from agentbench.scorers.text import NumericConfig, NumericScorer, last_number
from tests.fakes import a_case


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("a range of 3-5", 5.0),
        ("3 * -5", -5.0),
        ("\N{MINUS SIGN}5 degrees", -5.0),
        ("$1,234.50.", 1234.5),
        ("-e5", 5.0),
        ("e+", None),
    ],
)
def test_signs_and_exponents(text: str, number: float | None) -> None:
    assert last_number(text) == (None if number is None else Decimal(repr(number)))


@given(st.text(alphabet="0123456789eE+-.,)( x\u0663"))
def test_no_text_breaks_it(text: str) -> None:
    assert isinstance(last_number(text), Decimal | None)


@pytest.mark.parametrize("expected", [None, "five", True])
async def test_an_expected_value_that_is_no_number_is_told(expected: Any) -> None:
    with pytest.raises(UserError, match=f"case 'c1': expected = {expected!r}; numeric needs a number"):
        await NumericScorer(NumericConfig()).score(a_case(expected=expected), Trace(output="5"))


@pytest.mark.parametrize(
    ("options", "expected", "output", "passed", "reason"),
    [
        ({}, 2024, "2025", False, "got 2025, expected 2024"),
        ({}, 2024, "2,024.0", True, "got 2024.0, expected 2024"),
        ({}, 2024, "2024.4", False, "got 2024.4, expected 2024"),
        ({}, 9007199254740993, "9007199254740992", False, "got 9007199254740992, expected 9007199254740993"),
        ({}, 9007199254740993, "9007199254740993", True, "got 9007199254740993, expected 9007199254740993"),
        ({}, 3.14, "3.14159", True, "got 3.14159, expected 3.14 to 2 places"),
        ({}, 3.14, "3.135", True, "got 3.135, expected 3.14 to 2 places"),
        ({}, 3.14, "3.1", False, "got 3.1, expected 3.14 to 2 places"),
        ({}, 0.5, "0.56", False, "got 0.56, expected 0.5 to 1 place"),
        ({}, 1e-7, "1.4e-7", True, "got 1.4E-7, expected 1E-7 to 7 places"),
        ({}, 1e-7, "1.6e-7", False, "got 1.6E-7, expected 1E-7 to 7 places"),
        ({}, 1e22, "1e22", True, ""),
        ({}, 1e22, "1.0001e22", False, ""),
        ({}, 0, "0.0000000001", False, ""),
        ({"rel_tolerance": 0}, 3.14, "3.141", False, "got 3.141, expected 3.14"),
        ({"rel_tolerance": 1e-3}, 2024, "2025", True, "got 2025, expected 2024"),
        ({"abs_tolerance": 0.5}, 9007199254740993, "9007199254740994", False, ""),
        ({"abs_tolerance": 1}, 9007199254740993, "9007199254740994", True, ""),
        ({"abs_tolerance": 0.5, "rel_tolerance": 0.1}, 100, "109", True, ""),
        ({}, 5, "1e99999999999999999999", False, "got NaN, expected 5"),
    ],
)
async def test_an_integer_is_exact_and_a_decimal_as_exact_as_it_is_written(
    options: dict[str, float], expected: float, output: str, passed: bool, reason: str
) -> None:
    score = await NumericScorer(NumericConfig(**options)).score(a_case(expected=expected), Trace(output=output))
    assert score.passed is passed
    assert score.reason.startswith(reason)
