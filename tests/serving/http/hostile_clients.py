"""Sends 2,000 requests, a third of them aborted at random points and many invalid, beside 64 clients that never read.

python -m tests.serving.http.hostile_clients MODEL [--set knob=value …]
"""

import asyncio
import json
import os
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.serving.server_process import ServerProcess, running_server

REQUESTS, AT_ONCE, SILENT_CLIENTS = 2000, 48, 64
LIMIT_S = 240.0  # for one answer
OPTIONS = ("--max-model-len", "512", "--kv-cache-memory-mb", "64", "--slow-reader-timeout-s", "3")
WORDS = [
    "the",
    "a",
    "weather",
    "in",
    "of",
    "city",
    "call",
    "function",
    "area",
    "number",
    "list",
    "tree",
    "river",
    "returns",
    "with",
    "seven",
    "blue",
    "and",
    "or",
    "not",
]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "count": {"type": "integer"}},
    "required": ["city", "count"],
    "additionalProperties": False,
}
DEEP = "[" * 100_000


@dataclass(slots=True)
class Report:
    """The requests that were sent, and the wrong answers."""

    sent: Counter[str] = field(default_factory=Counter)
    aborted: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory_before: int = 0
    memory_after: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.sent.items()))
        aborted = ", ".join(f"{count} {where}" for where, count in sorted(self.aborted.items()))
        m = self.metrics
        growth = self.memory_after / self.memory_before - 1
        return [
            f"{self.sent.total()} requests in {self.seconds:.0f} s: {kinds}",
            f"of these aborted {self.aborted.total()}: {aborted}",
            f"wrong answers to the others: {len(self.wrong)}",
            *self.wrong[:20],
            f"blocks free {m['kv_blocks_free']:.0f} of {m['kv_blocks_total']:.0f}, running "
            f"{m['num_requests_running']:.0f}, waiting {m['num_requests_waiting']:.0f}",
            f"memory {self.memory_before / 2**20:.1f} MiB before, "
            f"{self.memory_after / 2**20:.1f} MiB after: {growth:+.1%}",
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and the check of its answer. `judge` takes status and body; it returns a fault, empty if none."""

    kind: str
    request: bytes
    judge: Callable[[int, bytes], str]


def attack(server: ServerProcess, requests: int = REQUESTS, seed: int = 0) -> Report:
    """Send an eighth of the requests to warm up, then all of them."""
    report = Report()
    asyncio.run(_traffic(server, requests // 8, Random(seed), Report(), silent=SILENT_CLIENTS))
    report.memory_before = _settled(server)[1]
    start = time.perf_counter()
    asyncio.run(_traffic(server, requests, Random(seed + 1), report, silent=SILENT_CLIENTS))
    report.metrics, report.memory_after = _settled(server)
    report.seconds = time.perf_counter() - start
    return report


async def _traffic(server: ServerProcess, requests: int, rng: Random, report: Report, silent: int) -> None:
    silent_clients = [_silent_client(server, rng) for _ in range(silent)]
    places = asyncio.Semaphore(AT_ONCE)
    greedy_texts = {text: await _greedy(server, text) for text in (_text(rng, 12) for _ in range(8))}

    async def one(exchange: Exchange, leaves_at: float | None) -> None:
        async with places:
            report.sent[exchange.kind] += 1
            try:
                async with asyncio.timeout(LIMIT_S):
                    await _one(server, exchange, leaves_at, report)
            except Exception as error:
                report.wrong.append(f"{exchange.kind}: {type(error).__name__} {error}")

    exchanges = [_random_exchange(server, rng, greedy_texts) for _ in range(requests)]
    await asyncio.gather(*(one(exchange, rng.random() if rng.random() < 1 / 3 else None) for exchange in exchanges))
    for connection in silent_clients:
        connection.close()


async def _one(server: ServerProcess, exchange: Exchange, leaves_at: float | None, report: Report) -> None:
    """Send the request and judge the answer.

    With `leaves_at` the client disconnects instead: below 0.3 within its request, below 0.5 before the answer, else
    within the answer.
    """
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        if leaves_at is not None and leaves_at < 0.3:
            writer.write(exchange.request[: int(len(exchange.request) * leaves_at / 0.3)])
            await writer.drain()
            report.aborted["in the request"] += 1
            return
        writer.write(exchange.request)
        with suppress(ConnectionError):
            await writer.drain()
        if leaves_at is not None:
            where = "before the answer" if leaves_at < 0.5 else "in the answer"
            report.aborted[where] += 1
            if leaves_at >= 0.5:
                with suppress(ConnectionError):
                    await reader.read(int((leaves_at - 0.5) * 8000) + 1)
            return
        answer = b""
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head else 0
        if fault := exchange.judge(status, _unchunked(head, body)):
            report.wrong.append(f"{exchange.kind}: {fault}")
    finally:
        writer.close()


def _random_exchange(server: ServerProcess, rng: Random, greedy_texts: Mapping[str, str]) -> Exchange:
    """A random request: valid with probability 0.7, else invalid in one of many ways."""
    if rng.random() < 0.7:
        return rng.choice((_greedy_exchange, _stream_exchange, _schema_exchange, _answers_exchange))(
            server, rng, greedy_texts
        )
    return _invalid_exchange(server, rng)


def _greedy_exchange(server: ServerProcess, rng: Random, greedy_texts: Mapping[str, str]) -> Exchange:
    text = rng.choice(list(greedy_texts))

    def judge(status: int, body: bytes) -> str:
        if status != 200:
            return f"status {status}: {body[:200]!r}"
        got = json.loads(body)["choices"][0]["text"]
        return "" if got == greedy_texts[text] else f"{got!r} and not {greedy_texts[text]!r}"

    return Exchange(kind="greedy", request=_post("completions", _greedy_body(server, text)), judge=judge)


def _stream_exchange(server: ServerProcess, rng: Random, greedy_texts: Mapping[str, str]) -> Exchange:
    messages = [{"role": "user", "content": _text(rng, rng.randrange(1, 60))}]
    body = {"model": server.model, "messages": messages, "stream": True, "max_tokens": rng.randrange(1, 40)}

    def judge(status: int, body: bytes) -> str:
        whole = status == 200 and body.endswith(b"data: [DONE]\n\n") and b'"error"' not in body
        return "" if whole else f"status {status}: …{body[-200:]!r}"

    return Exchange(kind="streamed", request=_post("chat/completions", body), judge=judge)


def _schema_exchange(server: ServerProcess, rng: Random, greedy_texts: Mapping[str, str]) -> Exchange:
    messages = [{"role": "user", "content": _text(rng, 8)}]
    format = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    body = {"model": server.model, "messages": messages, "response_format": format, "max_tokens": 60}

    def judge(status: int, body: bytes) -> str:
        if status != 200:
            return f"status {status}: {body[:200]!r}"
        choice = json.loads(body)["choices"][0]
        if choice["finish_reason"] == "length":
            return ""
        found = json.loads(choice["message"]["content"])
        return "" if set(found) == {"city", "count"} else f"{found!r}"

    return Exchange(kind="structured", request=_post("chat/completions", body), judge=judge)


def _answers_exchange(server: ServerProcess, rng: Random, greedy_texts: Mapping[str, str]) -> Exchange:
    n, text = rng.randrange(2, 5), _text(rng, 20)
    body = {"model": server.model, "prompt": text, "n": n, "max_tokens": rng.randrange(1, 16), "logprobs": 3}

    def judge(status: int, body: bytes) -> str:
        count = len(json.loads(body)["choices"]) if status == 200 else 0
        return "" if count == n else f"status {status}, {count} answers and not {n}"

    return Exchange(kind="several answers", request=_post("completions", body), judge=judge)


def _invalid_exchange(server: ServerProcess, rng: Random) -> Exchange:
    chat = {"model": server.model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
    complete = {"model": server.model, "prompt": "x", "max_tokens": 4}
    ways: dict[str, tuple[str, object, int]] = {
        "malformed JSON": ("chat/completions", json.dumps(chat)[:-2].encode(), 400),
        "JSON of 100,000 levels": ("chat/completions", DEEP.encode(), 400),
        "no UTF-8": ("completions", b'{"prompt": "\xff\xfe"}', 400),
        "no object": ("completions", [1, 2], 400),
        "a number for messages": ("chat/completions", {**chat, "messages": 3}, 400),
        "a text for a number": ("completions", {**complete, "max_tokens": "many"}, 400),
        "a number out of range": ("completions", {**complete, "temperature": -3}, 400),
        "a huge stop string": ("completions", {**complete, "stop": "x" * 100_000}, 400),
        "a huge bias": ("completions", {**complete, "logit_bias": {str(i): 1 for i in range(5000)}}, 400),
        "a huge body": ("completions", {**complete, "prompt": "x" * (5 * 2**20)}, 413),
        "a huge number": ("completions", {**complete, "seed": 10**400}, 400),
        "an unknown parameter": ("chat/completions", {**chat, "temprature": 1}, 400),
        "an unknown model": ("chat/completions", {**chat, "model": "other"}, 404),
        "an unknown path": ("nothing", chat, 404),
        "a prompt past the context": ("completions", {**complete, "prompt": _text(rng, 4000)}, 400),
        "a token past the vocabulary": ("completions", {**complete, "prompt": [10**9]}, 400),
        "a schema of no sense": (
            "chat/completions",
            {**chat, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 7}}}},
            400,
        ),
    }
    kind = rng.choice(list(ways))
    path, body, expected = ways[kind]

    def judge(status: int, body: bytes) -> str:
        if status != expected:
            return f"status {status} and not {expected}: {body[:200]!r}"
        error = json.loads(body)["error"]
        return "" if error["message"] else f"no message: {error}"

    return Exchange(kind=kind, request=_post(path, body), judge=judge)


def _silent_client(server: ServerProcess, rng: Random) -> socket.socket:
    """A client that requests a long answer and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(server.address)
    body = {"model": server.model, "prompt": _text(rng, 10), "stream": True, "max_tokens": 480, "ignore_eos": True}
    connection.sendall(_post("completions", {**body, "logprobs": 5}))
    return connection


async def _greedy(server: ServerProcess, text: str) -> str:
    found: list[str] = []

    def judge(status: int, body: bytes) -> str:
        found.append(json.loads(body)["choices"][0]["text"])
        return ""

    exchange = Exchange(kind="", request=_post("completions", _greedy_body(server, text)), judge=judge)
    await _one(server, exchange, None, Report())
    return found[0]


def _greedy_body(server: ServerProcess, text: str) -> dict[str, Any]:
    return {"model": server.model, "prompt": text, "temperature": 0, "max_tokens": 16}


def _text(rng: Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def _post(path: str, body: object) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(content)}\r\n"
    return f"{head}content-type: application/json\r\n\r\n".encode() + content


def _unchunked(head: bytes, body: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    content = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        content, body = content + body[:length], body[length + 2 :]
    return content


def _settled(server: ServerProcess) -> tuple[dict[str, float], int]:
    """Metrics and resident bytes once no request runs. The requests of silent clients run until their timeout."""
    deadline = time.monotonic() + 60
    while True:
        metrics = asyncio.run(_metrics(server))
        if not metrics["num_requests_running"] and not metrics["num_requests_waiting"]:
            pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
            return metrics, int(pages) * os.sysconf("SC_PAGESIZE")
        assert time.monotonic() < deadline, f"it still works: {metrics}"
        time.sleep(0.1)


async def _metrics(server: ServerProcess) -> dict[str, float]:
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return {name: float(value) for name, value in re.findall(r"^serving_(\w+)\{[^}]*\} (\S+)$", text, re.MULTILINE)}


def main() -> int:
    model, *options = sys.argv[1:]
    with running_server(Path(model), *OPTIONS, *options) as server:
        report = attack(server)
        print("\n".join(report.lines()))
        return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
