"""The parts of an attempt's conversation, with the graded answer where it differs from the last reply."""

from dataclasses import replace

import pytest
from rich.console import Console

from agentbench.core.attempt import Attempt
from agentbench.core.trace import Failure, Trace
from agentbench.report.transcript.terminal import transcript
from agentbench.report.transcript.view import conversation
from agentbench.testing.store_samples import a_case, an_attempt


def attempt_of(output: str, reply: str, **changes: object) -> Attempt:
    attempt = an_attempt()
    call = replace(attempt.trace.model_calls[-1], reply={"role": "assistant", "content": reply})
    return replace(attempt, trace=Trace(steps=(call,), output=output), **changes)  # type: ignore[arg-type]


def graded(attempt: Attempt) -> list[str]:
    return [part.text or part.note for part in conversation(a_case(), attempt, {}) if part.kind == "graded"]


def shown(attempt: Attempt) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(transcript(a_case(), attempt, {}))
    return capture.get()


@pytest.mark.parametrize(
    ("output", "reply", "answer"),
    [
        ("<think>Is it 41?</think>\n\n42", "<think>Is it 41?</think>\n\n42", "42"),
        ("<think>Is it 41?", "<think>Is it 41?", "nothing"),
        ("forty-two", "42", "forty-two"),
    ],
)
def test_the_graded_answer_is_shown_if_it_differs_from_the_reply(output: str, reply: str, answer: str) -> None:
    attempt = attempt_of(output, reply)
    assert graded(attempt) == [answer]
    assert f"graded answer\n{answer if answer != 'nothing' else '(nothing)'}\n" in shown(attempt)
    assert reply in shown(attempt), "what was thought is shown too"


def test_a_graded_answer_that_equals_the_reply_is_not_shown_again() -> None:
    attempt = attempt_of("42", " 42\n")
    assert graded(attempt) == []
    assert "graded answer" not in shown(attempt)


def test_a_failed_attempt_has_no_graded_answer() -> None:
    assert graded(attempt_of("", "42", failure=Failure(kind="timeout", message="not done"))) == []
