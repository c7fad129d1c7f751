"""A model server that answers from table.json.gz, after the latency that the real engine had, scaled down.

A suite selects it by `server: table` when this directory is on PYTHONPATH: table_server-1.dist-info registers it.
"""

import asyncio
import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.protocols import Endpoint
from tuners.engine.table_evaluator import ReplayTable, read_table

TABLE = Path(__file__).parent.parent / "table.json.gz"


class TableConfig(BaseModel):
    """The table's parameters. Texts and demonstrations are given by their number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "table"
    output: Literal["free", "json_schema"] = "free"
    tool_format: Literal["signature", "required"] = "signature"
    tools_in: Literal["system", "user"] = "system"
    instructions: int = 0
    demonstrations: int = 0
    quantization: Literal["none", "int4"] = "none"
    max_num_seqs: int = 32
    speculative: Literal["none", "ngram"] = "none"
    speed: float = Field(20.0, gt=0, description="How much faster than the real engine it answers.")


@cache
def table() -> ReplayTable:
    return read_table(TABLE)


def place(config: TableConfig) -> tuple[int, int]:
    """The table's row and column of a configuration."""
    found = table()
    texts = found.space["agent.instructions"]["choices"]
    prompted = {"agent.tools_in": config.tools_in, "agent.instructions": texts[config.instructions]}
    outer = {
        "agent.output": config.output,
        "agent.tool_format": config.tool_format,
        **(prompted if config.output == "json_schema" else {}),
        "agent.demonstrations": found.space["agent.demonstrations"][config.demonstrations],
        "serving.quantization": config.quantization,
    }
    inner = {"serving.max_num_seqs": config.max_num_seqs, "serving.speculative": config.speculative}
    return list(found.outer).index(outer), list(found.inner).index(inner)


class TableServer:
    """Answers "yes" for a case that the configuration had right, "no" for the others."""

    Config = TableConfig
    lossless_knobs = frozenset({"max_num_seqs", "speculative", "speed"})

    def __init__(self, config: TableConfig) -> None:
        row, column = place(config)
        self._right = dict(zip(table().cases, table().scores[row], strict=True))
        self._delay_s = table().figures[row][column]["latency_p50"] / config.speed
        self._model = config.model
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, log_path: Path) -> Endpoint:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return Endpoint(base_url=f"http://127.0.0.1:{port}/v1", model=self._model, info={"server": "table"})

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                lengths = [line for line in head.split("\r\n") if line.startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].partition(":")[2])) if lengths else b""
                answer = await self._answer(json.loads(body)) if body else b'{"data": []}'
                kind = "text/event-stream" if body else "application/json"
                head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\n\r\n"
                writer.write(head.encode() + answer)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def _answer(self, body: dict[str, list[dict[str, str]]]) -> bytes:
        await asyncio.sleep(self._delay_s)
        said = body["messages"][-1]["content"]
        chunk = {"choices": [{"index": 0, "delta": {"content": "yes" if self._right.get(said) else "no"}}]}
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
        events = (*(f"data: {json.dumps(each)}\n\n" for each in (chunk, last, usage)), "data: [DONE]\n\n")
        return "".join(events).encode()
