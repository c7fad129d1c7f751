"""Who writes proposals: the study's own model, or one that the study names."""

import asyncio
from typing import Protocol

from agentbench.core.errors import AttemptError
from agentbench.core.protocols import ChatRequest
from agentbench.run.model_server import opened_model
from agentbench.suite import registry
from agentbench.suite.config import Component
from tuners.space.instructions import ProposingModel
from tuners.space.space import Settings

RUNS_ELSEWHERE = "url"
"""The server that takes nothing of this machine."""


class Host(Protocol):
    """Has the servers of candidates."""

    async def ask(self, settings: Settings, request: ChatRequest) -> str:
        """The answer of the model under these settings; it belongs to no attempt."""
        ...

    async def rest(self) -> None:
        """Stop the server that is kept running, until it is needed again."""
        ...


class NoAnswer(Exception):
    """The model did not answer."""


async def write(options: ProposingModel, host: Host, parent: Settings, request: ChatRequest) -> str:
    """What the model wrote; without a model of its own it is that of `parent`. Raises `NoAnswer`.

    A model of its own is open for this one answer, and the candidates' server is stopped before where both would run
    on this machine: there may not be memory for two. `UserError` when its server does not start.
    """
    try:
        async with asyncio.timeout(options.timeout_s):
            if not options.is_named:
                return await host.ask(parent, request)
    except (AttemptError, TimeoutError) as error:
        raise NoAnswer(str(error) or f"nothing in {options.timeout_s:g} s") from error
    if _runs_here(options):
        await host.rest()
    async with opened_model(options.serving, options.backend, "proposer") as backend:
        try:
            async with asyncio.timeout(options.timeout_s):
                return (await backend.chat(request)).text
        except (AttemptError, TimeoutError) as error:
            raise NoAnswer(str(error) or f"nothing in {options.timeout_s:g} s") from error


def _runs_here(options: ProposingModel) -> bool:
    backend = options.backend or Component(name="openai_http")
    serving = options.serving or Component(name="bundled")
    return bool(registry.resolve("backends", backend.name).needs_server) and serving.name != RUNS_ELSEWHERE
