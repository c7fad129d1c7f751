"""A model server inside the test process: it answers by a rule, and can die on a request.

stub_plugin/ on PYTHONPATH registers it in another process.
"""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from agentbench.core.errors import UserError
from agentbench.core.protocols import Endpoint
from tuners.proposals.proposal_model import TASK

FAILED = b"{}"
"""The answer that becomes HTTP 503."""


class StubConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "stub"
    word: str = "even"
    dies_on: str | None = None
    fails_on: tuple[str, ...] = ()
    port: int = 0
    starts: bool = True
    hangs: bool = False
    knob: int = 1
    exact: bool = True
    here: bool = True
    other: int = 0
    delay_s: float = 0.0
    forgets: bool = True


class StubServer:
    """Answers yes when the last message contains the `word`, which a system message (`yes to WORD`) may change.

    A request for a proposal gets the next of `proposals`; the last one repeats. `started` counts the starts, `requests`
    has every request body, `resets` counts the requests to forget prompts, which one that `forgets` grants, and
    `most_at_once` is the most servers that ran at the same time.
    """

    Config = StubConfig
    started = 0
    running = 0
    most_at_once = 0
    resets = 0
    requests: ClassVar[list[dict[str, object]]] = []
    proposals: ClassVar[list[str]] = []

    def __init__(self, config: StubConfig) -> None:
        self._config = config
        self._server: asyncio.Server | None = None
        self._stopping = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def lossless_knobs(self) -> frozenset[str]:
        return frozenset({"knob"}) if self._config.exact else frozenset()

    def check(self) -> None:
        if not self._config.here:
            raise UserError(f"model {self._config.model!r} is not pulled")

    async def start(self, log_path: Path) -> Endpoint:
        if not self._config.starts:
            raise UserError("out of memory")
        if self._config.hangs:
            await asyncio.Event().wait()
        StubServer.started += 1
        StubServer.running += 1
        StubServer.most_at_once = max(StubServer.most_at_once, StubServer.running)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._config.port)
        port = self._server.sockets[0].getsockname()[1]
        return Endpoint(base_url=f"http://127.0.0.1:{port}/v1", model=self._config.model, info={"server": "stub"})

    async def stop(self) -> None:
        self._close()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _close(self) -> None:
        self._stopping.set()
        server, self._server = self._server, None
        if server is not None:
            StubServer.running -= 1
            server.close()
            for writer in list(self._writers):
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if task := asyncio.current_task():
            self._serving.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while self._server is not None:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                lengths = [line for line in head.split("\r\n") if line.startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].partition(":")[2])) if lengths else b""
                if head.startswith("post /reset_prefix_cache"):
                    StubServer.resets += 1
                    status = "200 OK" if self._config.forgets else "404 Not Found"
                    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
                    continue
                await self._pause()
                answer = self._answer(json.loads(body)) if body else json.dumps({"data": []}).encode()
                if answer is None:
                    self._close()
                    break
                kind = "text/event-stream" if body else "application/json"
                status = "503 Unavailable" if answer == FAILED else "200 OK"
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\n\r\n"
                writer.write(head.encode() + answer)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _pause(self) -> None:
        """Waits for the delay, or until the server stops."""
        if self._config.delay_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._config.delay_s)

    def _answer(self, body: dict[str, object]) -> bytes | None:
        StubServer.requests.append(body)
        messages = body["messages"]
        assert isinstance(messages, list)
        question = str(messages[-1]["content"])
        if self._config.dies_on is not None and self._config.dies_on in question:
            return None
        if any(question.endswith(each) for each in self._config.fails_on):
            return FAILED
        text = _proposal(messages) or ("yes" if _word(messages, self._config.word) in question else "no")
        chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
        events = (*(f"data: {json.dumps(each)}\n\n" for each in (chunk, last, usage)), "data: [DONE]\n\n")
        return "".join(events).encode()


def _proposal(messages: list[dict[str, str]]) -> str:
    if messages[0]["content"] != TASK:
        return ""
    proposals = StubServer.proposals
    return proposals.pop(0) if len(proposals) > 1 else proposals[0]


def _word(messages: list[dict[str, str]], word: str) -> str:
    rules = (re.search(r"yes to (\w+)", each["content"]) for each in messages if each["role"] == "system")
    return next((found[1] for found in rules if found), word)
