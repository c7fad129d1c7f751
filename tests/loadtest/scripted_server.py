"""An OpenAI-compatible server that streams scripted tokens at known times, as a process of its own.

Each token's text is the `perf_counter_ns` at which it was written, which is one clock for all processes of a
machine: what a client measures can be held against it. Options make it slow, failing, old-fashioned or mortal.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

ROOT = Path(__file__).parents[2]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ttft-ms", type=float, default=1.0)
    parser.add_argument("--tpot-ms", type=float, default=1.0)
    parser.add_argument("--slots", type=int, default=1000, help="requests worked on at once")
    parser.add_argument("--fail-every", type=int, default=0, help="answer each n-th request with --status")
    parser.add_argument("--status", type=int, default=500)
    parser.add_argument("--break-every", type=int, default=0, help="cut each n-th stream in its middle")
    parser.add_argument("--die-after", type=int, default=0, help="exit in the middle of the n-th answer")
    parser.add_argument("--drop-idle", action="store_true", help="close each connection after its answer, untold")
    parser.add_argument("--chat-only", action="store_true")
    parser.add_argument("--plain", action="store_true", help="know no continuous_usage_stats and no ignore_eos")
    parser.add_argument("--no-usage", action="store_true")
    parser.add_argument("--cached", type=int, default=0, help="prompt tokens said to be from the cache")
    parser.add_argument("--architecture", default="", help="JSON for the model card")
    return parser.parse_args()


class Server:
    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.count = 0
        self.slots = asyncio.Semaphore(given.slots)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                received_at = perf_counter_ns()
                lengths = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].split(":")[1])) if lengths else b""
                await self.answer(head.split(" ")[1], json.loads(body or b"{}"), received_at, writer)
                await writer.drain()
                if self.given.drop_idle:
                    break
        writer.close()

    async def answer(self, path: str, body: Any, received_at: int, writer: asyncio.StreamWriter) -> None:
        if path.endswith("/models"):
            card = {"id": "scripted", "object": "model", "requests": self.count}
            if self.given.architecture:
                card["architecture"] = json.loads(self.given.architecture)
            return respond(writer, 200, {"object": "list", "data": [card]})
        refusal = self.refusal(path, body)
        if refusal:
            return respond(writer, 400, {"error": {"message": refusal}})
        self.count += 1
        if self.given.fail_every and self.count % self.given.fail_every == 0:
            return respond(writer, self.given.status, {"error": {"message": "no luck"}})
        async with self.slots:
            await self.stream(body, path.endswith("chat/completions"), received_at, writer)

    def refusal(self, path: str, body: Any) -> str:
        if self.given.chat_only and not path.endswith("chat/completions"):
            return "no such endpoint"
        unknown = [key for key in ("ignore_eos",) if key in body]
        unknown += [key for key in body.get("stream_options", ()) if key == "continuous_usage_stats"]
        return f"unknown field {unknown[0]}" if self.given.plain and unknown else ""

    async def stream(self, body: Any, chat: bool, received_at: int, writer: asyncio.StreamWriter) -> None:
        number, tokens = self.count, body.get("max_tokens") or 8
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        if chat:
            send(writer, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        due = perf_counter_ns() + round(self.given.ttft_ms * 1e6)
        for token in range(tokens):
            await until(due)
            due += round(self.given.tpot_ms * 1e6)
            if token == tokens // 2 and self.cut(number):
                return writer.transport.abort()
            send(writer, self.chunk(body, chat, received_at, token))
        self.finish(body, chat, tokens, writer)

    def cut(self, number: int) -> bool:
        if self.given.die_after and number >= self.given.die_after:
            os._exit(1)
        return bool(self.given.break_every) and number % self.given.break_every == 0

    def chunk(self, body: Any, chat: bool, received_at: int, token: int) -> dict[str, Any]:
        text = f"{'' if token else f'{received_at} '}{perf_counter_ns()} "
        choice: dict[str, Any] = {"index": 0, "finish_reason": None}
        choice |= {"delta": {"content": text}} if chat else {"text": text}
        chunk: dict[str, Any] = {"choices": [choice]}
        if body.get("stream_options", {}).get("continuous_usage_stats") and not self.given.no_usage:
            chunk["usage"] = self.usage(body, token + 1)
        return chunk

    def finish(self, body: Any, chat: bool, tokens: int, writer: asyncio.StreamWriter) -> None:
        said: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        send(writer, {"choices": [{"index": 0, "finish_reason": "length", **said}]})
        if not self.given.no_usage:
            send(writer, {"choices": [], "usage": self.usage(body, tokens)})
        frame(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    def usage(self, body: Any, tokens: int) -> dict[str, Any]:
        asked = body.get("prompt", "") or body["messages"][-1]["content"]
        prompt = len(asked.split()) if isinstance(asked, str) else len(asked)
        details = {"cached_tokens": self.given.cached}
        return {"prompt_tokens": prompt, "completion_tokens": tokens, "prompt_tokens_details": details}


async def until(due: int) -> None:
    while (wait := due - perf_counter_ns()) > 0:
        await asyncio.sleep(wait / 1e9)


def send(writer: asyncio.StreamWriter, chunk: dict[str, Any]) -> None:
    body = {"id": "x", "object": "chunk", "created": 1, "model": "scripted", **chunk}
    frame(writer, b"data: " + json.dumps(body).encode() + b"\n\n")


def frame(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def respond(writer: asyncio.StreamWriter, status: int, body: Any) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)


async def serve(given: argparse.Namespace) -> None:
    server = await asyncio.start_server(Server(given).connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with the process that started it: its standard input is a pipe.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


@dataclass(frozen=True, slots=True)
class Scripted:
    base_url: str
    process: "subprocess.Popen[str]"


@contextmanager
def scripted_server(*given: str) -> Iterator[Scripted]:
    """A server with these options, for as long as the context lasts."""
    command = [sys.executable, "-m", "tests.loadtest.scripted_server", *given]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Scripted(f"http://127.0.0.1:{process.stdout.readline().strip()}/v1", process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve(options()))
