"""The `scripted` backend: answers from a script, to try a suite, an agent or the harness without a model."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.core.case import Message
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import ChatRequest, Endpoint, Relay
from agentbench.core.trace import ModelCall


class ScriptedCall(BaseModel):
    """A tool call in a scripted reply."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class ScriptedReply(BaseModel):
    """One rule: the reply when the last message matches `when`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str = Field("", description="Regular expression searched in the last message's text.")
    content: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    fail: str | None = Field(None, description="Fail as the server would, with this message.")

    @field_validator("when")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value


class ScriptedConfig(BaseModel):
    """Options of the `scripted` backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    replies: tuple[ScriptedReply, ...] = Field((), description="The first rule that matches answers.")
    default: str = Field("", description="The answer when no rule matches.")
    first_token_s: float = Field(0.0, ge=0, description="Pause before the first token.")
    token_s: float = Field(0.0, ge=0, description="Pause between tokens; a word is a token.")


class ScriptedBackend:
    """Answers by the first rule that matches the last message. Each word counts as a token."""

    Config = ScriptedConfig
    needs_server = False

    def __init__(self, config: ScriptedConfig, endpoint: Endpoint | None = None) -> None:
        self._config = config
        self._rules = [(re.compile(rule.when, re.DOTALL), rule) for rule in config.replies]

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        sent_at = perf_counter_ns()
        rule = self._rule(request)
        if rule.fail is not None:
            raise AttemptError("infra", rule.fail)
        deltas = _deltas(rule)
        finish = "tool_calls" if rule.tool_calls else "stop"
        prompt = sum(len(_text(message).split()) for message in request.messages)
        chunk_at = await self._speak(deltas, relay or _no_relay)
        for event in _ending(finish, prompt, len(deltas)):
            (relay or _no_relay)(event)
        return ModelCall(
            messages=request.messages,
            request={"model": "scripted", "seed": request.seed},
            reply=_message(rule),
            finish_reason=finish,
            intended_at=sent_at,
            sent_at=sent_at,
            ended_at=perf_counter_ns(),
            chunk_at=chunk_at,
            chunk_tokens=(1,) * len(chunk_at),
            prompt_tokens=prompt,
            completion_tokens=len(deltas),
        )

    def _rule(self, request: ChatRequest) -> ScriptedReply:
        last = _text(request.messages[-1]) if request.messages else ""
        matching = (rule for pattern, rule in self._rules if pattern.search(last))
        return next(matching, ScriptedReply(content=self._config.default))

    async def _speak(self, deltas: Sequence[Mapping[str, Any]], relay: Relay) -> tuple[int, ...]:
        """Send each delta at its time, and return the times."""
        chunk_at = []
        for number, delta in enumerate(deltas):
            pause = self._config.token_s if number else self._config.first_token_s
            if pause or not number:
                await asyncio.sleep(pause)
            chunk_at.append(perf_counter_ns())
            relay(_event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
        return tuple(chunk_at)

    async def aclose(self) -> None:
        return None


def _no_relay(event: bytes) -> None:
    """A relay that drops everything."""


def _deltas(rule: ScriptedReply) -> list[dict[str, Any]]:
    """The answer as OpenAI streams it: one delta a word, then the calls."""
    words = re.findall(r"\s*\S+\s*$|\s*\S+", rule.content)
    calls = _message(rule).get("tool_calls") or ()
    deltas = [{"content": word} for word in words or ([] if calls else [rule.content])]
    deltas += [{"tool_calls": [{"index": index, **call}]} for index, call in enumerate(calls)]
    return [{"role": "assistant", **deltas[0]}, *deltas[1:]]


def _ending(finish: str, prompt: int, completion: int) -> Iterator[bytes]:
    """The last events of the stream: finish reason, usage and `[DONE]`."""
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    yield _event({"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(content: Mapping[str, Any]) -> bytes:
    chunk = {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": "scripted", **content}
    return b"data: " + json.dumps(chunk).encode("ascii") + b"\n\n"


def _text(message: Message) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else json.dumps(content)


def _message(rule: ScriptedReply) -> Message:
    message: dict[str, Any] = {"role": "assistant", "content": rule.content or None}
    if rule.tool_calls:
        message["tool_calls"] = [
            {
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for index, call in enumerate(rule.tool_calls)
        ]
    return message
