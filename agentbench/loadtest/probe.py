"""Which parts of OpenAI's API a server and its model get right: each is asked for once, and the answer is read.

A check goes the way of an agent's call: the request is rendered by the server, answered by the model, and parsed back.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentbench.core.case import Message, ToolSpec
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import Backend, ChatRequest
from agentbench.core.trace import ModelCall

SHORT = 64
LONG = 256
EXACT = 40
"""Tokens of the answer that must not end by itself."""

ADD = ToolSpec(
    name="add",
    description="Add two integers.",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer", "minimum": -60, "maximum": 60}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A call, and the bytes of the event stream that it was read from."""

    call: ModelCall
    stream: bytes

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """The name and the parsed arguments of each tool call; the text of arguments that are not JSON."""
        return [_call_in(each.get("function") or {}) for each in self.call.reply.get("tool_calls") or ()]


Verdict = tuple[bool | None, str]
"""Whether the check holds, and what was seen; None when the model shows nothing that could hold or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question to a server. `read` says whether the answer is right."""

    name: str
    asks: str
    request: ChatRequest
    read: Callable[[Answer], Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of a check."""

    name: str
    asks: str
    holds: bool | None
    seen: str = field(default="")

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "asks": self.asks, "holds": self.holds, "seen": self.seen}


async def probe(backend: Backend, checks: tuple[Check, ...] | None = None) -> AsyncIterator[Finding]:
    """The finding of each check, as it is made. A refusal or a broken answer is a finding too."""
    for check in CHECKS if checks is None else checks:
        pieces: list[bytes] = []
        try:
            call = await backend.chat(check.request, pieces.append)
        except AttemptError as error:
            verdict: Verdict = False, str(error)
        else:
            verdict = check.read(Answer(call=call, stream=b"".join(pieces)))
        holds, seen = verdict
        yield Finding(name=check.name, asks=check.asks, holds=holds, seen=_short(seen))


def _request(*messages: Message, max_tokens: int = SHORT, **options: Any) -> ChatRequest:
    return ChatRequest(messages=messages, max_tokens=max_tokens, temperature=0.0, seed=0, **options)


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _call_in(function: Mapping[str, Any]) -> tuple[str, Any]:
    text = function.get("arguments")
    try:
        return str(function.get("name")), json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        return str(function.get("name")), text


def _is_sum(arguments: Any) -> bool:
    """Whether the arguments fit the tool's schema."""
    return (
        isinstance(arguments, dict) and set(arguments) == {"a", "b"} and all(_is_integer(n) for n in arguments.values())
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _seen(answer: Answer) -> str:
    if answer.calls:
        return "; ".join(f"{name}({json.dumps(arguments, ensure_ascii=False)})" for name, arguments in answer.calls)
    return repr(answer.call.text)


def _text(answer: Answer) -> Verdict:
    return bool(answer.call.text.strip()), _seen(answer)


def _counts(answer: Answer) -> Verdict:
    call = answer.call
    if call.prompt_tokens is None or call.completion_tokens is None:
        return False, "no usage in the stream"
    running = ", a count in every chunk" if call.chunk_tokens else ""
    return True, f"{call.prompt_tokens} tokens in, {call.completion_tokens} out{running}"


def _logprobs(answer: Answer) -> Verdict:
    holds = b'"top_logprobs"' in answer.stream and b'"logprob"' in answer.stream
    return holds, "with alternatives" if holds else "none in the stream"


def _never_ends(answer: Answer) -> Verdict:
    call = answer.call
    tokens = call.completion_tokens
    return (
        tokens == EXACT and call.finish_reason == "length",
        f"{tokens} of {EXACT} tokens, ended by {call.finish_reason}",
    )


def _fits_the_schema(answer: Answer) -> Verdict:
    try:
        value = json.loads(answer.call.answer)
    except (ValueError, RecursionError):
        return False, _seen(answer)
    fits = isinstance(value, dict) and set(value) == {"city", "degrees"}
    fits = fits and isinstance(value["city"], str) and _is_integer(value["degrees"]) and abs(value["degrees"]) <= 60
    return fits, _seen(answer)


def _one_call(answer: Answer) -> Verdict:
    holds = len(answer.calls) == 1 and answer.calls[0][0] == ADD.name and _is_sum(answer.calls[0][1])
    return holds, _seen(answer)


def _right_call(answer: Answer) -> Verdict:
    return answer.calls == [("add", {"a": 17, "b": 4})], _seen(answer)


def _two_calls(answer: Answer) -> Verdict:
    holds = len(answer.calls) == 2 and all(name == ADD.name and _is_sum(found) for name, found in answer.calls)
    return holds, _seen(answer)


def _no_call(answer: Answer) -> Verdict:
    return not answer.calls and bool(answer.call.text.strip()), _seen(answer)


def _tells_the_result(answer: Answer) -> Verdict:
    return not answer.calls and "9417" in answer.call.answer, _seen(answer)


def _reasoning(answer: Answer) -> Verdict:
    """A model that does not think has nothing to show; thoughts in the text are a fault."""
    if thoughts := answer.call.reply.get("reasoning_content"):
        return True, repr(thoughts)
    if answer.call.text != answer.call.answer or "<think>" in answer.call.text:
        return False, f"in the text: {answer.call.text!r}"
    return None, "the model shows none"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:99]}…"


_SUM = _user("What is 17 + 4? Use the tool add.")
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}}
_NAMED = {"type": "function", "function": {"name": ADD.name}}
_RESULT: tuple[Message, ...] = (
    _user("What is 9000 + 417? Use the tool add, then tell me."),
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 9000, "b": 417}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "9417"},
)

CHECKS = (
    Check(name="text", asks="an answer in words", request=_request(_user("Say hello.")), read=_text),
    Check(name="usage", asks="tokens counted in the stream", request=_request(_user("Say hello.")), read=_counts),
    Check(
        name="logprobs",
        asks="probabilities of the tokens",
        request=_request(_user("Say hello."), extra={"logprobs": True, "top_logprobs": 2}),
        read=_logprobs,
    ),
    Check(
        name="ignore_eos",
        asks=f"exactly {EXACT} tokens",
        request=_request(_user("Say ok."), max_tokens=EXACT, extra={"ignore_eos": True}),
        read=_never_ends,
    ),
    Check(
        name="schema",
        asks="JSON that fits a schema",
        request=_request(_user("Invent a weather report for Paris."), max_tokens=LONG, response_format=_SCHEMA),
        read=_fits_the_schema,
    ),
    Check(
        name="named call",
        asks="tool_choice names the tool",
        request=_request(_SUM, max_tokens=LONG, tools=(ADD,), tool_choice=_NAMED),
        read=_one_call,
    ),
    Check(
        name="required call",
        asks="tool_choice: required",
        request=_request(_SUM, max_tokens=LONG, tools=(ADD,), tool_choice="required"),
        read=_one_call,
    ),
    Check(
        name="auto call",
        asks="the model calls by itself, rightly",
        request=_request(_SUM, max_tokens=LONG, tools=(ADD,)),
        read=_right_call,
    ),
    Check(
        name="parallel calls",
        asks="two calls in one answer",
        request=_request(
            _user("Use the tool add twice, in one answer: once for 1 + 2, and once for 30 + 40."),
            max_tokens=LONG,
            tools=(ADD,),
        ),
        read=_two_calls,
    ),
    Check(
        name="no call",
        asks="tool_choice: none",
        request=_request(_SUM, tools=(ADD,), tool_choice="none"),
        read=_no_call,
    ),
    Check(
        name="result turn",
        asks="the answer has the tool's result",
        request=_request(*_RESULT, tools=(ADD,)),
        read=_tells_the_result,
    ),
    Check(
        name="reasoning",
        asks="thoughts apart from the answer",
        request=_request(_user("Is 91 a prime number?"), max_tokens=LONG),
        read=_reasoning,
    ),
)
