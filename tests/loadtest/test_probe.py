"""What is read from each answer, and that a refusal or a broken answer is a finding."""

import json
from typing import Any

import pytest

from agentbench.core.errors import AttemptError, ServerRefused
from agentbench.core.protocols import ChatRequest, Relay
from agentbench.core.trace import ModelCall
from agentbench.loadtest.probe import CHECKS, EXACT, Finding, probe

CALLS = {check.name: check for check in CHECKS}


class Answers:
    """A backend that answers each request with the same reply."""

    needs_server = False

    def __init__(self, reply: dict[str, Any] | AttemptError, stream: bytes = b"", **facts: Any) -> None:
        self._reply, self._stream, self._facts = reply, stream, facts

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        if isinstance(self._reply, AttemptError):
            raise self._reply
        if relay:
            relay(self._stream)
        facts = {"finish_reason": "stop", **self._facts}
        return ModelCall(
            messages=request.messages, request={}, reply=self._reply, intended_at=0, sent_at=0, ended_at=1, **facts
        )

    async def aclose(self) -> None:
        return


async def finding(name: str, reply: Any, stream: bytes = b"", **facts: Any) -> Finding:
    [found] = [each async for each in probe(Answers(reply, stream, **facts), (CALLS[name],))]
    return found


def say(text: str | None, **rest: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **rest}


def calls(*arguments: object, name: str = "add") -> dict[str, Any]:
    texts = [each if isinstance(each, str) else json.dumps(each) for each in arguments]
    return say(None, tool_calls=[{"id": "1", "function": {"name": name, "arguments": text}} for text in texts])


SUM = {"a": 17, "b": 4}


@pytest.mark.parametrize(
    ("name", "reply", "holds"),
    [
        ("text", say("hello"), True),
        ("text", say(" "), False),
        ("schema", say('{"city": "Paris", "degrees": 20}'), True),
        ("schema", say('{"city": "Paris", "degrees": true}'), False),
        ("schema", say('{"city": "Paris", "degrees": 61}'), False),
        ("schema", say('{"city": "Paris"}'), False),
        ("schema", say("It is warm."), False),
        ("named call", calls(SUM), True),
        ("named call", calls({"a": 1, "b": 1}), True),
        ("named call", calls(SUM, SUM), False),
        ("named call", calls(SUM, name="sum"), False),
        ("required call", calls({"a": "17", "b": 4}), False),
        ("required call", calls("{not JSON"), False),
        ("required call", say('{"a": 17, "b": 4}'), False),
        ("auto call", calls(SUM), True),
        ("auto call", calls({"a": 1, "b": 1}), False),
        ("parallel calls", calls(SUM, SUM), True),
        ("parallel calls", calls(SUM), False),
        ("no call", say("It is 21."), True),
        ("no call", calls(SUM), False),
        ("result turn", say("The sum is 9417."), True),
        ("result turn", say("The sum is 9,000."), False),
        ("result turn", calls(SUM), False),
        ("reasoning", say("No: 7 times 13.", reasoning_content="91 = 7 * 13"), True),
        ("reasoning", say("<think>91 = 7 * 13</think>No."), False),
        ("reasoning", say("No."), None),
    ],
)
async def test_an_answer_is_read(name: str, reply: dict[str, Any], holds: bool | None) -> None:
    assert (await finding(name, reply)).holds is holds


async def test_counts_and_lengths() -> None:
    counted: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": EXACT}
    assert (await finding("usage", say("hi"))).holds is False
    assert (await finding("usage", say("hi"), **counted)).seen == f"3 tokens in, {EXACT} out"
    assert "in every chunk" in (await finding("usage", say("hi"), chunk_tokens=(1,), chunk_at=(1,), **counted)).seen
    assert (await finding("ignore_eos", say("ok"), **counted)).holds is False
    assert (await finding("ignore_eos", say("ok"), **{**counted, "finish_reason": "length"})).holds is True
    assert (await finding("logprobs", say("hi"))).holds is False
    assert (await finding("logprobs", say("hi"), b'{"logprob": -1, "top_logprobs": []}')).holds is True


@pytest.mark.parametrize("error", [ServerRefused(400, "unknown field logprobs"), AttemptError("infra", "no answer")])
async def test_a_refusal_is_a_finding_and_the_others_are_asked(error: AttemptError) -> None:
    found = [each async for each in probe(Answers(error))]
    assert [each.name for each in found] == [check.name for check in CHECKS]
    assert {(each.holds, each.seen) for each in found} == {(False, str(error))}


async def test_a_long_answer_is_cut_for_the_table() -> None:
    seen = (await finding("text", say("x\n" * 500))).seen
    assert len(seen) == 100
    assert "\n" not in seen
