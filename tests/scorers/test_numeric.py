"""Numbers as models write them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.errors import UserError
from agentbench.scorers.numeric import NumericConfig, NumericScorer, last_number
from agentbench.trace import Trace
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
    assert last_number(text) == number


@given(st.text(alphabet="0123456789eE+-.,)( x\u0663"))
def test_no_text_breaks_it(text: str) -> None:
    assert isinstance(last_number(text), float | None)


@pytest.mark.parametrize("expected", [None, "five", True])
async def test_an_expected_value_that_is_no_number_is_told(expected: Any) -> None:
    with pytest.raises(UserError, match=f"case 'c1': expected = {expected!r}; numeric needs a number"):
        await NumericScorer(NumericConfig()).score(a_case(expected=expected), Trace(output="5"))
