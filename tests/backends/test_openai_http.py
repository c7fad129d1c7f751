"""The HTTP backend against a real HTTP server."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.core.case import ToolSpec
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import BrokenOff, ChatRequest, CutOff, Endpoint
from agentbench.http.event_stream import DONE, events
from agentbench.stats.calls import latency_s, ttft_s
from agentbench.testing import BackendContract


def ask(text: str) -> ChatRequest:
    return ChatRequest(messages=({"role": "user", "content": text},))


async def opened(url: str) -> AsyncIterator[OpenAIHttpBackend]:
    backend = OpenAIHttpBackend(OpenAIHttpConfig(), Endpoint(base_url=url, model="m", continuous_usage=True))
    yield backend
    await backend.aclose()


class TestOpenAIHttp(BackendContract):
    @pytest.fixture
    async def backend(self, chat_url: str) -> AsyncIterator[OpenAIHttpBackend]:
        async for backend in opened(chat_url):
            yield backend

    @pytest.fixture
    async def dead_backend(self, dead_url: str) -> AsyncIterator[OpenAIHttpBackend]:
        async for backend in opened(dead_url):
            yield backend

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(status, "infra") for status in (500, 503, 401, 403, 404, 408, 409, 429)]
        + [(status, "agent") for status in (400, 413, 422)],
    )
    async def test_a_refusal_is_of_the_right_kind(self, backend: OpenAIHttpBackend, status: int, kind: str) -> None:
        pieces: list[bytes] = []
        with pytest.raises(AttemptError, match=f"^HTTP {status}: no luck$") as caught:
            await backend.chat(ask(f"status {status}"), pieces.append)
        assert caught.value.kind == kind
        assert pieces == []

    async def test_a_stream_that_is_cut_off_is_an_infra_failure(self, backend: OpenAIHttpBackend) -> None:
        with pytest.raises(AttemptError, match="ended before its answer was complete") as caught:
            await backend.chat(ask("cut"))
        assert caught.value.kind == "infra"

    @pytest.mark.parametrize(
        ("asked", "why"), [("cut", "ended before its answer was complete"), ("gives up", "out of memory")]
    )
    async def test_what_came_before_a_stream_broke_is_told_with_its_times(
        self, backend: OpenAIHttpBackend, asked: str, why: str
    ) -> None:
        with pytest.raises(BrokenOff, match=why) as broken:
            await backend.chat(ask(asked))
        call = broken.value.call
        assert (call.text, call.finish_reason, len(call.chunk_at)) == ("hel", None, 1)
        assert call.intended_at <= call.sent_at < call.chunk_at[0] <= call.ended_at
        assert (call.messages, call.request["model"]) == (ask(asked).messages, "m")

    async def test_what_came_before_a_request_was_cancelled_is_told(self, backend: OpenAIHttpBackend) -> None:
        came = asyncio.Event()
        asking = asyncio.create_task(backend.chat(ask("hangs"), lambda piece: came.set() if piece else None))
        await came.wait()
        asking.cancel()
        with pytest.raises(CutOff) as cut:
            await asking
        assert (cut.value.call.text, len(cut.value.call.chunk_at)) == ("hel", 1)

    async def test_tool_call_fragments_are_put_together(self, backend: OpenAIHttpBackend) -> None:
        call = await backend.chat(ask("tools"))
        made = [(each["id"], each["function"]) for each in call.reply["tool_calls"]]
        assert made == [
            ("call_0", {"name": "f", "arguments": '{"a": 1}'}),
            ("call_1", {"name": "g", "arguments": '{"a": 1}'}),
        ]
        assert (call.text, call.finish_reason) == ("", "tool_calls")
        assert call.reply["reasoning_content"] == "let me see"
        assert (call.completion_tokens, sum(call.chunk_tokens)) == (None, 7), "one for each event: no count came"

    async def test_an_answer_in_one_piece_is_relayed_as_events_and_has_no_first_token(
        self, backend: OpenAIHttpBackend
    ) -> None:
        pieces: list[bytes] = []
        call = await backend.chat(ask("whole"), pieces.append)
        assert (call.text, call.finish_reason, call.completion_tokens) == ("hello world", "stop", 2)
        assert (call.chunk_at, ttft_s(call)) == ((), None)
        assert latency_s(call) == pytest.approx((call.ended_at - call.sent_at) / 1e9)
        first, last = [data for _, data in events([(0, b"".join(pieces))])]
        assert json.loads(first)["choices"][0]["delta"]["content"] == "hello world"
        assert last == DONE

    async def test_the_record_has_what_was_asked_for(self, backend: OpenAIHttpBackend) -> None:
        tool = ToolSpec(name="f", description="d", parameters={"type": "object"})
        request = ChatRequest(
            messages=({"role": "user", "content": "x"},), tools=(tool,), tool_choice="auto", temperature=0, stop=("a",)
        )
        call = await backend.chat(request)
        assert call.request["model"] == "m"
        assert call.request["tools"][0]["function"]["name"] == "f"
        assert (call.request["tool_choice"], call.request["temperature"], call.request["stop"]) == ("auto", 0, ["a"])
        assert call.cached_tokens == 1

    async def test_only_what_was_given_is_sent(self, backend: OpenAIHttpBackend) -> None:
        call = await backend.chat(ask("x"))
        assert call.request == {"model": "m"}

    async def test_extra_fields_stand_beside_the_others(self, backend: OpenAIHttpBackend) -> None:
        call = await backend.chat(replace(ask("x"), top_p=0.5, extra={"min_p": 0.1, "top_p": 0.9}))
        assert call.request == {"model": "m", "top_p": 0.9, "min_p": 0.1}

    async def test_a_server_that_is_not_there_is_told(self, dead_backend: OpenAIHttpBackend) -> None:
        with pytest.raises(AttemptError, match=r"^no answer from http://\S+/v1: Connection refused$"):
            await dead_backend.chat(ask("x"))
