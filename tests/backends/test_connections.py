"""The HTTP backend's connections, seen from the server's side."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace

import pytest

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import ChatRequest, Endpoint
from tests.http.misbehaving_server import END, HEAD, answering, framed, listening, plain, request_of
from tests.loadtest.scripted_server import scripted_server

REQUEST = ChatRequest(messages=({"role": "user", "content": "x"},), max_tokens=4)
TOKEN = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]}\n\n'
STOP = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
WHOLE = HEAD + framed(TOKEN) + framed(STOP) + framed(b"data: [DONE]\n\n") + END
FAILED = framed(b'data: {"error": {"message": "out of memory", "code": 500}}\n\n')


@asynccontextmanager
async def backend_of(
    server: AbstractAsyncContextManager[str], timeout_s: float = 20
) -> AsyncIterator[OpenAIHttpBackend]:
    async with server as url:
        backend = OpenAIHttpBackend(OpenAIHttpConfig(timeout_s=timeout_s), Endpoint(base_url=url, model="m"))
        try:
            yield backend
        finally:
            await backend.aclose()


class Watched:
    """A server that answers each request with the same bytes, and what it saw of its connections."""

    def __init__(self, answer: bytes = WHOLE) -> None:
        self.answer = answer
        self.opened = 0
        self.asked = asyncio.Event()
        self.closed = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            while True:
                await request_of(reader)
                writer.write(self.answer)
                self.asked.set()
        finally:
            self.closed.set()


async def test_calls_one_after_the_other_share_a_connection_which_aclose_closes() -> None:
    watched = Watched()
    async with backend_of(listening(watched)) as backend:
        for _ in range(3):
            await backend.chat(REQUEST)
        assert (watched.opened, watched.closed.is_set()) == (1, False)
        await backend.aclose()
        async with asyncio.timeout(10):
            await watched.closed.wait()


@pytest.mark.parametrize("answer", [b"", HEAD + framed(TOKEN)], ids=["before the answer", "within it"])
async def test_a_call_that_is_cancelled_closes_its_connection_at_once(answer: bytes) -> None:
    watched = Watched(answer)
    async with backend_of(listening(watched)) as backend, asyncio.timeout(10):
        running = asyncio.create_task(backend.chat(REQUEST))
        await watched.asked.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await watched.closed.wait()
    assert running.cancelled()


async def test_an_answer_is_relayed_while_it_comes() -> None:
    heard = asyncio.Event()
    pieces: list[bytes] = []

    def relay(piece: bytes) -> None:
        pieces.append(piece)
        heard.set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(HEAD + framed(TOKEN))
        await heard.wait()
        writer.write(framed(STOP) + framed(b"data: [DONE]\n\n") + END)

    async with backend_of(listening(handle)) as backend, asyncio.timeout(10):
        call = await backend.chat(REQUEST, relay)
    assert pieces[:2] == [b"", TOKEN]
    assert b"".join(pieces) == TOKEN + STOP + b"data: [DONE]\n\n"
    assert call.text == "a"


async def test_the_limit_of_a_request_closes_its_connection_too() -> None:
    watched = Watched(HEAD + framed(TOKEN))
    async with backend_of(listening(watched), timeout_s=0.05) as backend, asyncio.timeout(10):
        with pytest.raises(AttemptError, match=r"no answer from http://\S+/v1: not done after 0.05 s") as caught:
            await backend.chat(REQUEST)
        await watched.closed.wait()
    assert caught.value.kind == "infra"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([b""], "no answer from .*: the server closed the connection"),
        ([HEAD + framed(TOKEN)], "no answer from .*: the server closed the connection"),
        ([HEAD + framed(TOKEN) + END], "ended before its answer was complete"),
        ([HEAD + framed(TOKEN) + FAILED + END], "no answer from .*: out of memory"),
        ([HEAD + framed(b"data: {nonsense\n\n") + END], "no answer from .*: an event that is no chunk"),
        ([b"220 smtp ready\r\n"], "no answer from .*: not an HTTP/1.1 response"),
        ([plain(502, b"<h1>Bad Gateway</h1>")], "HTTP 502: <h1>Bad Gateway</h1>"),
        ([plain(308, b"", b"Location: https://other/v1")], "HTTP 308: moved to https://other/v1"),
    ],
)
async def test_what_is_no_whole_answer_is_an_infra_failure(answers: list[bytes], message: str) -> None:
    async with backend_of(answering(*answers)) as backend:
        with pytest.raises(AttemptError, match=message) as caught:
            await backend.chat(REQUEST)
    assert caught.value.kind == "infra"


async def test_a_connection_that_was_closed_while_it_was_kept_costs_no_call() -> None:
    async with backend_of(answering(WHOLE, None, WHOLE)) as backend:
        first, second = await backend.chat(REQUEST), await backend.chat(REQUEST)
    assert first.text == second.text == "a"
    assert second.intended_at <= second.sent_at <= second.chunk_at[0]


@asynccontextmanager
async def scripted(*options: str) -> AsyncIterator[str]:
    with scripted_server(*options) as server:
        yield server.base_url


async def test_a_server_that_drops_every_connection_still_answers() -> None:
    async with backend_of(scripted("--drop-idle")) as backend:
        calls = [await backend.chat(REQUEST) for _ in range(5)]
    assert [call.completion_tokens for call in calls] == [4] * 5


async def test_of_streams_that_break_only_those_fail() -> None:
    async with backend_of(scripted("--break-every", "2")) as backend:
        found = await asyncio.gather(*(backend.chat(REQUEST) for _ in range(6)), return_exceptions=True)
    failed = [each for each in found if isinstance(each, AttemptError)]
    assert [each.kind for each in failed] == ["infra"] * 3
    assert len(found) == 6


async def test_a_server_that_dies_is_an_infra_failure_for_each_call() -> None:
    async with backend_of(scripted("--die-after", "1")) as backend:
        found = await asyncio.gather(*(backend.chat(REQUEST) for _ in range(4)), return_exceptions=True)
        with pytest.raises(AttemptError, match=r"Connection (refused|reset)|closed the connection"):
            await backend.chat(REQUEST)
    assert [each.kind for each in found if isinstance(each, AttemptError)] == ["infra"] * 4


async def test_what_a_server_does_not_understand_is_the_agents_fault() -> None:
    async with backend_of(scripted("--plain")) as backend:
        with pytest.raises(AttemptError, match=r"^HTTP 400: unknown field ignore_eos$") as caught:
            await backend.chat(replace(REQUEST, extra={"ignore_eos": True}))
    assert caught.value.kind == "agent"


@pytest.mark.parametrize("endless", [b"data: {", framed(b"x" * 60_000)[:-2], b"0" * 60_000])
async def test_what_never_ends_is_broken_off(endless: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentbench.http.wire.BODY_LIMIT", 2**20)

    async def for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(HEAD)
        with suppress(ConnectionError):
            while True:
                writer.write(framed(endless * 100) if endless.startswith(b"data") else endless)
                await writer.drain()

    async with backend_of(listening(for_ever)) as backend:
        with pytest.raises(
            AttemptError, match=r"^no answer from http://\S+/v1: (no end after|its framing is not HTTP's)"
        ) as caught:
            await backend.chat(REQUEST)
    assert caught.value.kind == "infra"
