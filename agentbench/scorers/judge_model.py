"""The model that a judge asks: the run's own, or one of the judge's with a server that runs as long as the run."""

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench import spec
from agentbench.case import Message
from agentbench.config import Component, Serving
from agentbench.errors import AttemptError
from agentbench.model_access import opened_model
from agentbench.protocols import Backend, ChatRequest
from agentbench.scorers.brief import brief
from agentbench.scorers.written_verdict import Answer, read_verdict
from agentbench.validation import validate


class JudgeModelOptions(BaseModel):
    """Which model judges, and how it is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    serving: Serving | None = Field(None, description="A server of the judge's own; the run's by default.")
    backend: Component | None = Field(None, description="A backend of the judge's own; the run's by default.")
    temperature: float = Field(0.0, ge=0, description="0 gives the same verdict again.")
    seed: int = Field(0, ge=0, description="Seed of the first vote; each further vote has the next.")
    max_tokens: int = Field(1024, ge=1, description="Longest answer of the judge, its reason included.")
    reason_chars: int | None = Field(None, ge=1, description="Longest reason: keeps a small model from rambling.")
    timeout_s: float = Field(120.0, gt=0, description="Limit of one answer in seconds.")
    max_tries: int = Field(3, ge=1, description="Tries of a question that the server does not answer.")
    backoff_s: float = Field(0.5, ge=0, description="Pause before the second try; doubled for each further one.")


class JudgeModel:
    """Asks for a structured answer. What goes wrong is a grader failure: the agent's work is not made again for it."""

    def __init__(self, options: JudgeModelOptions) -> None:
        self._options = options
        self._own = options.serving is not None or options.backend is not None
        self._backend: Backend | None = None
        self._held = AsyncExitStack()
        _check("backends", "backend", options.backend)
        _check("servers", "serving", options.serving)

    def use(self, backend: Backend) -> None:
        if not self._own:
            self._backend = backend

    async def open(self, role: str) -> None:
        """Starts the server, where the judge has one of its own; `role` names its log."""
        if self._own:
            opening = opened_model(self._options.serving, self._options.backend, re.sub(r"\W+", "-", role))
            self._backend = await self._held.enter_async_context(opening)

    async def close(self) -> None:
        await self._held.aclose()

    async def ask(self, messages: tuple[Message, ...], answer: type[Answer], vote: int = 0) -> Answer:
        """The answer; one that is not what was asked for is asked for once more, and then told as a grader failure."""
        text = await self._chat(messages, answer, vote)
        try:
            return read_verdict(text, answer)
        except ValueError as error:
            mistake = str(error)
        again = (
            *messages,
            {"role": "assistant", "content": text},
            {"role": "user", "content": f"That is not the JSON object asked for ({mistake}). Answer with it alone."},
        )
        text = await self._chat(again, answer, vote)
        try:
            return read_verdict(text, answer)
        except ValueError as error:
            message = f"the judge gave no verdict: {error} in {brief(text)}"
            raise AttemptError("grader", message) from None

    async def _chat(self, messages: tuple[Message, ...], answer: type[Answer], vote: int) -> str:
        request = ChatRequest(
            messages=messages,
            response_format=self._format(answer),
            temperature=self._options.temperature,
            max_tokens=self._options.max_tokens,
            seed=self._options.seed + vote,
        )
        pause = self._options.backoff_s
        for left in reversed(range(self._options.max_tries)):
            text, error = await self._answered(request)
            if error is None:
                return text
            if error.kind != "infra" or not left:
                raise AttemptError("grader", f"the judge's model did not answer: {error}") from None
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("max_tries is at least 1")

    def _format(self, answer: type[BaseModel]) -> dict[str, Any]:
        """The structured output asked for; no length unless it is asked for: not all servers know it."""
        schema = answer.model_json_schema()
        if self._options.reason_chars is not None:
            schema["properties"]["reason"]["maxLength"] = self._options.reason_chars
        return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}

    async def _answered(self, request: ChatRequest) -> tuple[str, AttemptError | None]:
        assert self._backend is not None, "the judge was handed no backend"
        try:
            async with asyncio.timeout(self._options.timeout_s):
                return _encodable((await self._backend.chat(request)).text), None
        except AttemptError as error:
            return "", error
        except TimeoutError:
            return "", AttemptError("infra", f"no answer in {self._options.timeout_s:g} s")


def _check(kind: spec.Kind, key: str, component: Component | None) -> None:
    """Name and options of what is opened later, checked now: a mistake shows before a server is started."""
    if component is not None:
        found = spec.resolve(kind, component.name, f"model.{key}")
        validate(found.Config, component.options, lambda location: "the judge", ("model", key))


def _encodable(text: str) -> str:
    """Without lone surrogates, which can't be sent back."""
    return text.encode("utf-8", "replace").decode()
