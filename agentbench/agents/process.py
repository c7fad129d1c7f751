"""One process of a `command` agent."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

from agentbench.environment import with_variables
from agentbench.errors import AttemptError

Payload = dict[str, Any]
ANSWER_LIMIT = 16 * 2**20
"""Bytes of one line, or of one answer: more is no answer."""
TAIL = 20
"""Lines of standard error that a failure quotes at most."""


class AgentProcess:
    """Leads a session of its own, so that it is ended with all it started; its standard input is a pipe of ours, which
    closes when we die, in whatever way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._errors: list[str] = []
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, command: tuple[str, ...], env: Mapping[str, str]) -> "AgentProcess":
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=with_variables(**env),
                start_new_session=True,
                limit=ANSWER_LIMIT,
            )
        except OSError as error:
            raise AttemptError("agent", f"{command[0]!r} can't be run: {error.strerror}") from None
        return cls(process)

    async def _listen(self) -> None:
        """Keeps the end of what it says on standard error, so that it never waits for a reader."""
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._errors = [*self._errors, *chunk.decode("utf-8", "replace").splitlines()][-TAIL:]

    def write(self, payload: Payload) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(payload, default=str).encode() + b"\n")

    def close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def read_line(self) -> bytes:
        """The next line; `AttemptError` when it ended, or the line is over the limit."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
        except ValueError:
            raise AttemptError("agent", f"a line of over {ANSWER_LIMIT} bytes") from None
        if not line:
            raise await self.ended()
        return line

    async def read_all(self) -> bytes:
        """All it prints until it ends well."""
        assert self._process.stdout is not None
        parts: list[bytes] = []
        while part := await self._process.stdout.read(2**16):
            parts.append(part)
            if sum(map(len, parts)) > ANSWER_LIMIT:
                raise AttemptError("agent", f"it printed over {ANSWER_LIMIT} bytes")
        if await self._process.wait():
            raise await self.ended()
        return b"".join(parts)

    async def ended(self) -> AttemptError:
        """Why it ended, with the last it said on standard error."""
        code = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), 1)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = next((line.strip() for line in reversed(self._errors) if line.strip()), "nothing on standard error")
        return AttemptError("agent", f"the command {how}: {said[:500]}")

    async def kill(self) -> None:
        """End it and all it started; safe to call twice."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


async def run_once(
    command: tuple[str, ...], env: Mapping[str, str], payload: Payload, cold_start: Callable[[int], None]
) -> str:
    """The answer of a process of its own; it is ended when the attempt is."""
    began = perf_counter_ns()
    variables = {
        "OPENAI_BASE_URL": payload["base_url"],
        "OPENAI_API_KEY": payload["api_key"],
        "AGENTBENCH_MODEL": payload["model"],
    }
    process = await AgentProcess.start(command, {**variables, **env})
    cold_start(perf_counter_ns() - began)
    try:
        process.write(payload)
        process.close_input()
        return _answer(await process.read_all())
    finally:
        await process.kill()


def _answer(printed: bytes) -> str:
    """The `output` of the last line where that is an object with one, else everything."""
    text = printed.decode("utf-8", "replace").strip()
    try:
        last = json.loads(text.rpartition("\n")[2])
    except (ValueError, RecursionError):
        return text
    return output_of(last) if isinstance(last, dict) and "output" in last else text


def output_of(reply: Mapping[str, Any]) -> str:
    output = reply["output"]
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
