"""The scripted backend."""

from time import perf_counter_ns
from typing import Any

import pytest

from agentbench.backends.scripted import ScriptedBackend, ScriptedConfig
from agentbench.core.protocols import ChatRequest
from agentbench.testing import BackendContract


def scripted(**config: object) -> ScriptedBackend:
    return ScriptedBackend(ScriptedConfig.model_validate(config))


class TestScripted(BackendContract):
    @pytest.fixture
    def backend(self) -> ScriptedBackend:
        return scripted(default="hello world")

    @pytest.fixture
    def dead_backend(self) -> ScriptedBackend:
        return scripted(replies=[{"fail": "connection refused"}])


async def test_the_first_rule_that_matches_answers() -> None:
    backend = scripted(
        replies=[
            {"when": "2 .* 3", "tool_calls": [{"name": "add", "arguments": {"a": 2}}]},
            {"when": "2", "content": "two"},
        ],
        default="what?",
    )

    async def ask(text: str) -> Any:
        call = await backend.chat(ChatRequest(messages=({"role": "user", "content": text},)))
        return call.reply.get("tool_calls") or call.text

    assert await ask("only 2") == "two"
    assert await ask("else") == "what?"
    [made] = await ask("2 and 3")
    assert made["function"] == {"name": "add", "arguments": '{"a": 2}'}


async def test_tokens_take_the_configured_time() -> None:
    backend = scripted(default="a b c", first_token_s=0.02, token_s=0.01)
    call = await backend.chat(ChatRequest(messages=({"role": "user", "content": "x"},)))
    assert call.chunk_at[0] - call.sent_at >= 20_000_000
    assert all(later - earlier >= 9_000_000 for earlier, later in zip(call.chunk_at, call.chunk_at[1:], strict=False))


async def test_a_word_is_relayed_at_its_time() -> None:
    relayed: list[int] = []
    backend = scripted(default="a b c", token_s=0.01)
    call = await backend.chat(
        ChatRequest(messages=({"role": "user", "content": "x"},)), lambda _: relayed.append(perf_counter_ns())
    )
    assert call.chunk_at[0] <= relayed[0] < call.chunk_at[1] <= relayed[1] < call.chunk_at[2] <= relayed[2]


def test_a_rule_that_is_no_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        scripted(replies=[{"when": "("}])
