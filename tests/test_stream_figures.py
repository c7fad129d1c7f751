"""One decoder, one set of figures: a run, a load test, the gateway and the replay of traces agree on every stream."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2 as httpx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.cli.run import run_command
from agentbench.core.protocols import ChatRequest, Endpoint
from agentbench.core.trace import ModelCall
from agentbench.gateway import Gateway
from agentbench.http.client import HttpClient
from agentbench.http.exchange import Exchange
from agentbench.http.wire import Wire
from agentbench.loadtest.record import TurnExchange, record_of
from agentbench.loadtest.workload import Turn
from agentbench.run.recorder import Recorder
from agentbench.stats.calls import completion_tokens, first_token_s, gaps_s, latency_s, tpot_s, ttft_s
from agentbench.store import open_store
from agentbench.suite.suite import load_suite
from tests.cli.test_bench import bench
from tests.fakes import declared
from tuners.engine.trace_replay import TraceReplay
from tuners.space.configuration import Configurations

MS = 1_000_000


def event(at_ms: int, delta: dict[str, Any] | None, tokens: int | None = None, finish: str | None = None) -> bytes:
    """An event that says when it is to come; `tokens` is how many there are so far."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body: dict[str, Any] = {"id": "x", "created": at_ms, "model": "m", "choices": choices}
    if tokens is not None:
        body["usage"] = {"prompt_tokens": 7, "completion_tokens": tokens}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


RECORDED = (
    event(50, {"role": "assistant", "content": ""}, 0),
    event(250, {"content": ""}, 1),
    event(350, {"content": "a"}, 2),
    event(450, {"content": "b"}, 3),
    event(550, {"content": ""}, 4),
    event(650, {"content": "c"}, 5),
    event(651, {}, 5, "stop"),
    event(652, None, 5),
)
RIGHT = {"ttft_s": 0.350, "first_token_s": 0.250, "tpot_s": 0.100, "latency_s": 0.650}


class Recording(BaseHTTPRequestHandler):
    """Says the recorded stream to every chat, over a real socket; it knows no text completions."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._whole(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if not self.path.endswith("/chat/completions"):
            return self._whole(404, {"error": {"message": "no such endpoint"}})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for data in (*RECORDED, b"data: [DONE]\n\n"):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _whole(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recording) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event of a stream comes exactly when it says, counted from the sending, however the socket gave it."""
    ask, received = Wire.ask, Wire.received
    came: dict[Wire, tuple[Exchange, bytes]] = {}

    async def asked(wire: Wire, request: bytes, exchange: Exchange) -> None:
        came[wire] = exchange, b""
        await ask(wire, request, exchange)

    def held(wire: Wire, at: int, data: bytes) -> None:
        exchange, before = came[wire]
        came[wire] = exchange, before + data
        answer = before + data
        if b"text/event-stream" not in answer and b"\r\n\r\n" in answer:
            received(wire, at, data)
        elif answer.endswith(b"0\r\n\r\n"):
            offset = 0
            for part in re.split(rb"(?<=\n\n\r\n)", answer):
                offset = int(found[1]) if (found := re.search(rb'"created": (\d+)', part)) else offset
                received(wire, exchange.sent_at + offset * MS, part)

    monkeypatch.setattr(Wire, "ask", asked)
    monkeypatch.setattr(Wire, "received", held)


def figures(call: ModelCall) -> dict[str, float | None]:
    return {metric.__name__: metric(call) for metric in (ttft_s, first_token_s, tpot_s, latency_s)}


async def through_the_gateway(url: str) -> ModelCall:
    backend = OpenAIHttpBackend(OpenAIHttpConfig(), Endpoint(base_url=url, model="m"))
    recorder = Recorder(backend, declared(), 0)
    async with Gateway() as gateway, gateway.route(recorder) as route, httpx.AsyncClient() as client:
        answer = await client.post(
            f"{route.base_url}/chat/completions",
            headers={"authorization": f"Bearer {route.api_key}"},
            json={"messages": [{"role": "user", "content": "hi"}]},
        )
    await backend.aclose()
    assert answer.json()["choices"][0]["message"]["content"] == "abc"
    assert answer.json()["usage"]["completion_tokens"] == 5
    [call] = recorder.trace().model_calls
    return call


@pytest.mark.usefixtures("on_time")
def test_a_run_a_load_test_the_gateway_and_the_replay_give_the_same_figures(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suite = {
        "name": "one",
        "dataset": {"name": "jsonl"},
        "scorers": ["exact"],
        "agent": {"name": "chat"},
        "serving": {"server": "url", "base_url": url},
        "objectives": {"ttft": "350.5ms", "tpot": "100.5ms"},
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    (tmp_path / "cases.jsonl").write_text(json.dumps({"id": "c", "input": "hi", "expected": "abc"}))
    run_command(tmp_path, db="runs.db")
    with open_store("runs.db") as store:
        [attempt] = store.attempts(store.get_run("latest").id)
    [call] = attempt.trace.model_calls
    assert figures(call) == pytest.approx(RIGHT)
    assert gaps_s(call) == pytest.approx([0.1] * 4)
    assert (call.chunk_tokens, call.silent_chunks, call.text, attempt.passed) == ((1, 1, 1, 1, 1), 1, "abc", True)

    load = ("--workload", "trace:latest", "--db", "runs.db", "--concurrency", "1", "--no-roofline")
    bench("--server", url, *load, "--objective", "ttft=350.5ms", "--json", "out.json")
    found = json.loads(Path("out.json").read_text())["points"][0]["sides"]["server"]["figures"]
    assert {name: found[f"{name.removesuffix('_s')}_p50_s"] for name in RIGHT} == pytest.approx(RIGHT)
    assert (found["itl_p50_s"], found["itl_p99_s"]) == pytest.approx((0.1, 0.1))
    assert (found["completion_tokens"], found["within_objectives"]) == (5, 1)

    assert figures(asyncio.run(through_the_gateway(url))) == pytest.approx(RIGHT)

    replay = TraceReplay(1, tmp_path / "log").outcomes(Configurations(load_suite(tmp_path), {}, 0).of({}), [attempt])
    [outcome] = asyncio.run(replay)
    assert {name: getattr(outcome, name) for name in RIGHT} == {
        name: pytest.approx((at,)) for name, at in RIGHT.items()
    }


@dataclass(frozen=True, kw_only=True)
class Step:
    """One event: what a reader sees of it, and how many tokens were made since the event before."""

    gap_ms: int
    delta: dict[str, Any]
    tokens: int

    @property
    def is_seen(self) -> bool:
        return bool(self.delta.get("content") or self.delta.get("reasoning_content") or self.delta.get("tool_calls"))


SEEN = (
    {"content": "a"},
    {"content": "bc "},
    {"reasoning_content": "hm"},
    {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{"}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": "1"}}]},
)
GAPS = st.one_of(st.just(0), st.integers(1, 300))
STEPS = st.one_of(
    st.builds(Step, gap_ms=GAPS, delta=st.sampled_from(SEEN), tokens=st.integers(1, 4)),
    st.builds(Step, gap_ms=GAPS, delta=st.sampled_from([{}, {"content": ""}]), tokens=st.integers(0, 3)),
)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """`counts` is when the server says how many tokens there are. The closing event brings `last` more of them: what
    ends a turn and is no text, or what the limit cut off."""

    steps: Sequence[Step]
    counts: str
    finish: str
    last: int

    def timed(self) -> Iterator[tuple[int, Step]]:
        """Every event with the time of the read that brought it: no gap, the same read."""
        at = 0
        for step in (Step(gap_ms=1, delta={"role": "assistant", "content": ""}, tokens=0), *self.steps):
            at += step.gap_ms
            yield at, step
        yield at + 50, Step(gap_ms=50, delta={}, tokens=self.last)

    def pieces(self) -> list[tuple[int, bytes]]:
        """The reads, in milliseconds."""
        reads: dict[int, bytes] = {}
        so_far = 0
        events = list(self.timed())
        for number, (at, step) in enumerate(events, 1):
            so_far += step.tokens
            finish = self.finish if number == len(events) else None
            count = so_far if self.counts == "in every chunk" else None
            if self.counts == "at both ends" and number == 1:
                count = 1
            reads[at] = reads.get(at, b"") + event(at, step.delta, count, finish)
        end = b"" if self.counts == "never" else event(0, None, so_far)
        return [*reads.items(), (events[-1][0] + 1, end + b"data: [DONE]\n\n")]


STREAMS = st.builds(
    Stream,
    steps=st.lists(STEPS, min_size=1, max_size=12),
    counts=st.sampled_from(["in every chunk", "at both ends", "at the end", "never"]),
    finish=st.sampled_from(["stop", "length", "tool_calls"]),
    last=st.integers(0, 2),
)


def plainly(stream: Stream) -> dict[str, Any]:
    """The figures by their definitions, from what was sent and not from its bytes."""
    *events, (closed_at, closing) = stream.timed()
    counted = stream.counts == "in every chunk" and any(step.tokens for _, step in (*events, (0, closing)))
    if stream.finish == "length":  # what the limit cut off came with the closing event
        events.append((closed_at, closing))
    made: dict[int, int] = {}
    for at, step in events:
        if step.is_seen or (counted and step.tokens):
            made[at] = made.get(at, 0) + (step.tokens if counted else 1)
    seen = [at for at, step in events if step.is_seen]
    total = sum(step.tokens for _, step in stream.timed())
    said = {"never": sum(made.values()) or None}.get(stream.counts, total)
    after = sum(tokens for at, tokens in made.items() if seen and at > seen[0])
    if not counted and stream.counts != "never":
        after = total - 1
    last = max(made, default=0)
    return {
        "ttft": seen[0] if seen else None,
        "first token": min(made) if counted and made else None,
        "tpot": (last - seen[0]) / after if seen and last > seen[0] and after > 0 else None,
        "latency": last if made else None,
        "itl": [later - earlier for earlier, later in pairwise(made)],
        "tokens": said,
        "text": "".join(step.delta.get("content") or "" for _, step in events) or None,
    }


def derived(call: ModelCall, text: str | None) -> dict[str, Any]:
    def ms(seconds: float | None) -> Any:
        return None if seconds is None else pytest.approx(seconds * 1000)

    return {
        "ttft": ms(ttft_s(call)),
        "first token": ms(first_token_s(call)),
        "tpot": ms(tpot_s(call)),
        "latency": ms(latency_s(call)) if call.chunk_at else None,
        "itl": [ms(gap) for gap in gaps_s(call)],
        "tokens": completion_tokens(call),
        "text": text,
    }


def run_of(pieces: list[tuple[int, bytes]], sent_at: int) -> ModelCall:
    """The call of a run to which a server answers so."""

    async def send(client: HttpClient, request: bytes, exchange: Exchange) -> None:
        exchange.status, exchange.sent_at, exchange.pieces = 200, sent_at, pieces

    async def chat() -> ModelCall:
        backend = OpenAIHttpBackend(OpenAIHttpConfig(), Endpoint(base_url="http://127.0.0.1:9/v1", model="m"))
        return await backend.chat(ChatRequest(messages=({"role": "user", "content": "x"},)))

    with patch.object(HttpClient, "send", send):
        return asyncio.run(chat())


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(STREAMS)
def test_runs_and_load_tests_give_the_figures_that_are_defined(stream: Stream) -> None:
    # Of a server that counts at both ends and says nothing, nobody can tell that it does not count in every chunk.
    assume(stream.counts != "at both ends" or any(step.is_seen for step in stream.steps))
    sent_at = 10**12
    pieces = [(sent_at + at * MS, data) for at, data in stream.pieces()]
    call = run_of(pieces, sent_at)
    turn = Turn(path="chat/completions", body={})
    load = TurnExchange(index=0, session=0, turn=0, request=turn, warmup=False, intended_at=sent_at)
    load.status, load.sent_at, load.pieces = 200, sent_at, pieces
    record = record_of(load, sent_at)
    expected = plainly(stream)
    assert derived(call, call.reply["content"]) == expected
    assert derived(record.as_call(), expected["text"]) == expected
    assert (record.completion_tokens or 0) == (expected["tokens"] or 0)
    assert record.counted == (expected["first token"] is not None)
