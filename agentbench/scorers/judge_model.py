"""The model that a judge asks: the run's own, or one of the judge's with a server that runs as long as the run."""

import asyncio
import os
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentbench import spec
from agentbench.case import Message
from agentbench.config import Component, Serving
from agentbench.errors import AttemptError
from agentbench.protocols import Backend, ChatRequest, Endpoint, Server
from agentbench.scorers.brief import brief

Answer = TypeVar("Answer", bound=BaseModel)

_numbers = count(1)


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
        if self._own:
            self._backend_name = options.backend or Component(name="openai_http")
            needs_server = spec.resolve("backends", self._backend_name.name).needs_server
            serving = options.serving or Component(name="bundled")
            place = ("model", "serving")
            self._server: Server | None = spec.build("servers", serving, prefix=place) if needs_server else None

    def use(self, backend: Backend) -> None:
        if not self._own:
            self._backend = backend

    async def open(self) -> None:
        if not self._own:
            return
        endpoint = await self._started()
        backend: Backend = spec.build("backends", self._backend_name, endpoint, prefix=("model", "backend"))
        self._held.push_async_callback(backend.aclose)
        self._backend = backend

    async def _started(self) -> Endpoint | None:
        if self._server is None:
            return None
        self._held.push_async_callback(self._server.stop)
        log = Path("results") / "logs" / f"judge-{os.getpid()}-{next(_numbers)}.server.log"
        return await self._server.start(log)

    async def close(self) -> None:
        await self._held.aclose()

    async def ask(self, messages: tuple[Message, ...], answer: type[Answer], vote: int = 0) -> Answer:
        """The answer; one that is not what was asked for is asked for once more, and then told as a grader failure."""
        text = await self._chat(messages, answer, vote)
        try:
            return answer.model_validate_json(text, strict=True)
        except ValidationError as error:
            mistake = _mistake(error)
        again = (
            *messages,
            {"role": "assistant", "content": text},
            {"role": "user", "content": f"That is not the JSON object asked for ({mistake}). Answer with it alone."},
        )
        text = await self._chat(again, answer, vote)
        try:
            return answer.model_validate_json(text, strict=True)
        except ValidationError as error:
            message = f"the judge gave no verdict: {_mistake(error)} in {brief(text)}"
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
        """The structured output asked for; the length is left out where it is not asked for: not all servers know it."""
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


def _mistake(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    path = ".".join(map(str, found["loc"]))
    return f"{path}: {found['msg']}" if path else found["msg"]


def _encodable(text: str) -> str:
    """Without lone surrogates, which can't be sent back."""
    return text.encode("utf-8", "replace").decode()
