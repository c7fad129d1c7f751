"""The `command` agent: a program in any language, with one process per attempt or a pool of processes."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from shutil import which
from time import perf_counter_ns
from types import TracebackType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.agents.process import Payload, ProcessPool, run_once
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.protocols import ChatClient, Toolbox
from agentbench.gateway import Gateway, Route
from agentbench.processes import Lifeline


class Hosting(BaseModel):
    """How the program is run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["per_case", "pooled"] = Field(
        "per_case", description="One process for each attempt, or a pool of processes."
    )
    state: Literal["stateless", "session"] = Field(
        "stateless",
        description="pooled only. session: all turns of an attempt go to one process, which keeps the conversation.",
    )
    size: int = Field(4, ge=1, description="pooled only: number of processes.")

    @model_validator(mode="after")
    def _fits(self) -> "Hosting":
        if self.state == "session" and self.mode == "per_case":
            raise ValueError(
                "state: session needs mode: pooled, since a process of mode per_case ends with its attempt"
            )
        return self


class CommandConfig(BaseModel):
    """Options of the `command` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: tuple[str, ...] = Field(min_length=1, description="The program and its arguments; no shell.")
    env: Mapping[str, str] = Field(default_factory=dict, description="Added to its environment.")
    hosting: Hosting = Hosting()
    startup_timeout_s: float = Field(60.0, gt=0, description="pooled only: seconds to wait for its ready line.")


class CommandAgent:
    """Runs a program for an attempt, with a base URL and a key whose calls are recorded in the attempt's trace.

    per_case: the environment has OPENAI_BASE_URL, OPENAI_API_KEY and AGENTBENCH_MODEL. Standard input is one JSON
    object, `{"case": {"id", "messages", "tools", "metadata"}, "base_url", "api_key", "model"}`. The answer is the
    `output` of the last printed line when that is a JSON object with this key, otherwise all printed text. pooled: the
    program prints `{"ready": true}`. It then reads such objects, one a line and each with an `id`, and answers each
    with a line `{"id", "output"}` or `{"id", "error"}`. With `state: session` an object also has `session`, `messages`
    holds only the new messages, and `{"end": session}` ends the session.
    """

    Config = CommandConfig

    def __init__(self, config: CommandConfig) -> None:
        self._config = config
        self._gateway = Gateway()
        self._lifeline = Lifeline()
        self._held = AsyncExitStack()
        self._pool: ProcessPool | None = None

    def check(self) -> None:
        """`UserError` when the program does not exist."""
        program, path = self._config.command[0], self._config.env.get("PATH")
        if which(program, path=path) is None:
            where = f"from {Path.cwd()}" if Path(program).name != program else "on PATH"
            raise UserError(f"agent.command {program!r}: there is no such program {where}; install it or give its path")

    async def __aenter__(self) -> Self:
        config, hosting = self._config, self._config.hosting
        await self._held.enter_async_context(self._gateway)
        await self._held.enter_async_context(self._lifeline)
        if hosting.mode == "pooled":
            self._pool = ProcessPool(config.command, config.env, self._lifeline, hosting.size, config.startup_timeout_s)
            self._held.push_async_callback(self._pool.aclose)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> str:
        async with self._gateway.route(backend) as route:
            payload = _payload(case, route)
            if self._pool is None:
                return await self._run_once(payload, route, backend)
            if self._config.hosting.state == "session":
                return await self._pool.ask_in_session(case, payload, backend)
            return await self._pool.ask(payload, backend.record_cold_start)

    async def _run_once(self, payload: Payload, route: Route, backend: ChatClient) -> str:
        """Runs a process for this attempt only; its startup ends with its first model call."""
        began = perf_counter_ns()
        try:
            return await run_once(self._config.command, self._config.env, payload, self._lifeline)
        finally:
            if route.first_request_at is not None:
                backend.record_cold_start(route.first_request_at - began)


def _payload(case: Case, route: Route) -> Payload:
    return {
        "case": {
            "id": case.id,
            "messages": list(case.messages),
            "tools": [
                {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
                for tool in case.tools
            ],
            "metadata": dict(case.metadata),
        },
        "base_url": route.base_url,
        "api_key": route.api_key,
        "model": route.model,
    }
