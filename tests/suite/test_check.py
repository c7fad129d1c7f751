"""What a case has to be, whatever data set it is from."""

from typing import Any

import pytest

from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.suite.check import check_case


def a_case(**values: Any) -> Case:
    return Case(**{"id": "c", "messages": ({"role": "user", "content": "x"},), **values})


@pytest.mark.parametrize(
    ("case_id", "message"),
    [
        ("", "case '': the id is empty"),
        (" \u3000", "the id is empty"),
        ("a::b", "case 'a::b': the id contains '::', at which pytest splits a test's name"),
        ("\ud800", r"case '\\ud800': a control character or half of a surrogate pair"),
        ("a\nb", "a control character or half of a surrogate pair"),
        ("a\u2028b", "a control character or half of a surrogate pair"),
        ("gate", "mode gate uses this id for its own item"),
    ],
)
def test_an_id_that_can_not_be_selected_is_refused(case_id: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_case(a_case(id=case_id), "gate")
    str(caught.value).encode()


def test_gate_is_an_id_where_no_item_decides() -> None:
    check_case(a_case(id="gate"), "strict")


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ((), "it has no message"),
        (({"content": "x"},), "message 1: role = None; valid: system, developer, user"),
        (({"role": "user", "content": "x"}, {"role": "usr", "content": "x"}), "message 2: role = 'usr'; valid"),
        (({"role": "user"},), "message 1: content = None; expected a text"),
        (({"role": "user", "content": 5},), "message 1: content = 5"),
        (({"role": "assistant", "content": None},), "message 1: content = None"),
        (("x",), "message 1: 'x' is no message"),
    ],
)
def test_messages_that_nobody_could_answer_are_refused(messages: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError, match=f"case 'c': {message}"):
        check_case(a_case(messages=messages), "strict")


def test_the_messages_of_chat_completions_are_taken() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    check_case(
        a_case(
            messages=(
                {"role": "developer", "content": "x"},
                {"role": "user", "content": [{"type": "text", "text": "x"}]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "1", "content": ""},
            )
        ),
        "strict",
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_is_no_json_is_refused(value: Any) -> None:
    for field in ("expected", "metadata"):
        with pytest.raises(UserError, match="case 'c': its content is not JSON"):
            check_case(a_case(**{field: {"deep": [value]}}), "strict")
