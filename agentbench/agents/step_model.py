"""A model of its own for one step of an agent: its server started, its backend open, for as long as a run lasts."""

from contextlib import AsyncExitStack

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.config import Component, Serving
from agentbench.model_access import opened_model
from agentbench.protocols import Backend, ChatClient


class StepModelOptions(BaseModel):
    """Which model answers a step: `serving` as in a configuration, `backend` where it is not `openai_http`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    serving: Serving | None = Field(None, description="Its server, for example {server: url, base_url: …}.")
    backend: Component | None = Field(None, description="Its backend; openai_http by default.")

    @model_validator(mode="after")
    def _named(self) -> "StepModelOptions":
        if self.serving is None and self.backend is None:
            raise ValueError("name a model: serving, backend or both; leave it out for the run's own")
        return self


class StepModel:
    """The model of the step of this name; without options it is the run's own."""

    def __init__(self, options: StepModelOptions | None, step: str) -> None:
        self._options = options
        self._step = step
        self._backend: Backend | None = None

    async def open(self, held: AsyncExitStack) -> None:
        """Opens it, where it is not the run's own, until `held` is left."""
        if self._options is not None:
            opening = opened_model(self._options.serving, self._options.backend, self._step)
            self._backend = await held.enter_async_context(opening)

    def client(self, backend: ChatClient) -> ChatClient:
        """What the step asks, recorded under the attempt that `backend` records."""
        if self._options is None:
            return backend
        assert self._backend is not None, "an agent with a model of its own is entered before its first attempt"
        return backend.through(self._backend, self._step)
