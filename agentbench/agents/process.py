"""One process of a `command` agent."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from agentbench import marked
from agentbench.agents.lifeline import Lifeline
from agentbench.environment import with_variables
from agentbench.errors import AttemptError

Payload = dict[str, Any]
ANSWER_LIMIT = 16 * 2**20
"""Bytes of one line, or of one answer: more is no answer."""
TAIL = 8192
"""Bytes from the end of standard error that a failure keeps."""


class AgentProcess:
    """Leads a session of its own, so that it is ended with all it started, also when we die.

    `owes` is set while it has been asked something and has not answered: it can't be asked anything else then.
    """

    def __init__(self, process: asyncio.subprocess.Process, lifeline: Lifeline, mark: str) -> None:
        self.owes = False
        self._mark = mark
        self._process = process
        self._lifeline = lifeline
        self._errors = b""
        self._listening = asyncio.create_task(self._listen())
        lifeline.hold(process.pid, mark)

    @classmethod
    async def start(cls, command: tuple[str, ...], env: Mapping[str, str], lifeline: Lifeline) -> "AgentProcess":
        mark = token_hex(16)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=with_variables(**{**env, marked.VARIABLE: mark}),
                start_new_session=True,
                limit=ANSWER_LIMIT,
            )
        except OSError as error:
            raise AttemptError("agent", f"{command[0]!r} can't be run: {error.strerror}") from None
        return cls(process, lifeline, mark)

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def _listen(self) -> None:
        """Keeps the end of what it says on standard error, so that it never waits for a reader."""
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            self._errors = (self._errors + chunk)[-TAIL:]

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
            raise self.failure(f"a line of over {ANSWER_LIMIT} bytes") from None
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
                raise self.failure(f"the command printed over {ANSWER_LIMIT} bytes")
        if await self._process.wait():
            raise await self.ended()
        return b"".join(parts)

    async def ended(self) -> AttemptError:
        """Why it ended, with the last it said on standard error."""
        code = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), 1)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        lines = self._said().strip().splitlines()
        last = lines[-1].strip() if lines else "nothing on standard error"
        return self.failure(f"the command {how}: {last[:500]}")

    def failure(self, message: str) -> AttemptError:
        """An agent failure, with the end of what it said on standard error as its detail."""
        return AttemptError("agent", message, self._said())

    def _said(self) -> str:
        return self._errors.decode("utf-8", "replace")

    async def kill(self) -> None:
        """End it and all it started; safe to call twice."""
        self._lifeline.end(self._process.pid, self._mark)
        await self._process.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


async def run_once(command: tuple[str, ...], env: Mapping[str, str], payload: Payload, lifeline: Lifeline) -> str:
    """The answer of a process of its own; it is ended when the attempt is."""
    variables = {
        "OPENAI_BASE_URL": payload["base_url"],
        "OPENAI_API_KEY": payload["api_key"],
        "AGENTBENCH_MODEL": payload["model"],
    }
    process = await AgentProcess.start(command, {**variables, **env}, lifeline)
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
