"""The contract of a backend."""

import asyncio
import json

import pytest

from agentbench.core.errors import AttemptError
from agentbench.core.protocols import Backend, ChatRequest
from agentbench.http.event_stream import DONE, events

QUESTION = ({"role": "user", "content": "say hello world"},)


class BackendContract:
    """Fixtures of a subclass: `backend`, which answers "hello world", and `dead_backend`, which can't answer."""

    async def test_an_answer_is_recorded_with_its_request(self, backend: Backend) -> None:
        call = await backend.chat(ChatRequest(messages=QUESTION, seed=5))
        assert call.text == "hello world"
        assert call.finish_reason == "stop"
        assert call.messages == QUESTION
        assert call.request["seed"] == 5
        assert "messages" not in call.request

    async def test_times_are_in_order_and_chunks_count_the_tokens(self, backend: Backend) -> None:
        call = await backend.chat(ChatRequest(messages=QUESTION))
        assert call.intended_at <= call.sent_at <= call.chunk_at[0]
        assert list(call.chunk_at) == sorted(call.chunk_at)
        assert call.chunk_at[-1] <= call.ended_at
        assert call.completion_tokens == sum(call.chunk_tokens) == 2
        assert call.prompt_tokens == 3

    async def test_concurrent_requests_are_answered(self, backend: Backend) -> None:
        calls = await asyncio.gather(*(backend.chat(ChatRequest(messages=QUESTION)) for _ in range(32)))
        assert [call.text for call in calls] == ["hello world"] * 32

    async def test_the_answer_is_relayed_as_an_event_stream(self, backend: Backend) -> None:
        pieces: list[bytes] = []
        call = await backend.chat(ChatRequest(messages=QUESTION), pieces.append)
        found = [data for _, data in events([(0, piece) for piece in pieces])]
        assert found.pop() == DONE
        choices = [choice for data in found for choice in json.loads(data)["choices"]]
        assert "".join(choice["delta"].get("content") or "" for choice in choices) == call.text == "hello world"
        assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]

    async def test_a_request_without_an_answer_is_an_infra_failure_and_relays_nothing(
        self, dead_backend: Backend
    ) -> None:
        pieces: list[bytes] = []
        with pytest.raises(AttemptError) as caught:
            await dead_backend.chat(ChatRequest(messages=QUESTION), pieces.append)
        assert caught.value.kind == "infra"
        assert pieces == []
