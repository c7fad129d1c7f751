"""The simulated users: `model`, played by a model with a persona and a goal, and `scripted`, which says the case's
lines.
"""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.case import Case, Message
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import Backend, ChatRequest
from agentbench.core.trace import answer_in
from agentbench.run.model_server import opened_model
from agentbench.suite.config import Component, Serving
from agentbench.suite.validation import validate

PROMPT = (
    "You play a user who talks to an assistant. {persona}\nYour goal: {goal}\nSay only what the user says next, in one"
    " or two sentences. When your goal is reached, or can't be, say {stop} and nothing else."
)


class ModelUserConfig(BaseModel):
    """Options of the `model` user. A case's `user` may set persona, goal and max_turns of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    persona: str = Field("You are polite and brief.", description="Who the user is.")
    goal: str = Field("", description="What the user wants.")
    prompt: str = Field(PROMPT, description="Its instructions; {persona}, {goal} and {stop} stand for those.")
    stop: str = Field("###STOP###", min_length=1, description="The text by which it ends the conversation.")
    max_turns: int = Field(8, ge=1, description="Most times it speaks; then the conversation is over.")
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(128, gt=0)
    serving: Serving | None = Field(None, description="Its own server; the run's by default.")
    backend: Component | None = Field(None, description="Its own backend; the run's by default.")


class Character(BaseModel):
    """What a case's `user` may override of the suite's options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    persona: str = ""
    goal: str = ""
    max_turns: int = Field(1, ge=1)


class ModelUser:
    """Sees the conversation with the roles swapped. Its cost does not count as the agent's."""

    Config = ModelUserConfig

    def __init__(self, config: ModelUserConfig) -> None:
        self._config = config
        self._backend: Backend | None = None
        self._held = AsyncExitStack()

    def use(self, backend: Backend) -> None:
        self._backend = backend

    async def __aenter__(self) -> Self:
        if self._config.serving is not None or self._config.backend is not None:
            opening = opened_model(self._config.serving, self._config.backend, "user")
            self._backend = await self._held.enter_async_context(opening)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()

    def check(self, case: Case) -> None:
        validate(Character, case.user, lambda _: f"case {case.id!r}", ("user",))

    def session(self, case: Case, seed: int) -> "ModelSession":
        assert self._backend is not None, "use() is called before the first attempt"
        return ModelSession(self._config.model_copy(update=dict(case.user)), self._backend, seed)


class ModelSession:
    """One conversation. Each of its turns has a seed of its own."""

    def __init__(self, config: ModelUserConfig, backend: Backend, seed: int) -> None:
        self._config = config
        self._backend = backend
        self._seed = seed
        self._spoken = 0

    async def say(self, conversation: Sequence[Message]) -> tuple[Message, ...]:
        if self._spoken >= self._config.max_turns:
            return ()
        self._spoken += 1
        call = await self._backend.chat(self._request(conversation))
        if self._config.stop in call.answer:
            return ()
        text = call.answer.strip()
        if not text:
            raise AttemptError("infra", "its answer is empty")
        return ({"role": "user", "content": text},)

    def _request(self, conversation: Sequence[Message]) -> ChatRequest:
        parts = {"persona": self._config.persona, "goal": self._config.goal, "stop": self._config.stop}
        prompt = re.sub(r"\{(persona|goal|stop)\}", lambda found: parts[found[1]], self._config.prompt)
        return ChatRequest(
            messages=({"role": "system", "content": prompt}, *_turned_round(conversation)),
            temperature=self._config.temperature,
            max_tokens=self._config.max_tokens,
            seed=(self._seed + self._spoken) % 2**31,
        )


def _turned_round(conversation: Sequence[Message]) -> list[Message]:
    """The conversation as the user sees it: texts only, the user's own as the assistant's. Thoughts, tool calls and
    tool results are left out.
    """
    roles = {"user": "assistant", "assistant": "user"}
    messages = ((message.get("role"), message.get("content")) for message in conversation)
    return [
        {"role": roles[role], "content": shown}
        for role, content in messages
        if role in roles and isinstance(content, str) and (shown := answer_in(content))
    ]


class ScriptedUserConfig(BaseModel):
    """The `scripted` user has no options: its lines are the case's."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SpokenMessage(BaseModel):
    """A chat message; only its role is validated."""

    model_config = ConfigDict(extra="allow", frozen=True)

    role: str


class Script(BaseModel):
    """The keys of a case's `user`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lines: tuple[str | tuple[SpokenMessage, ...], ...] = ()


class ScriptedUser:
    """Says the `lines` of the case's `user`, one a turn: each a text, or a list of chat messages."""

    Config = ScriptedUserConfig

    def __init__(self, config: ScriptedUserConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        validate(Script, case.user, lambda _: f"case {case.id!r}", ("user",))

    def session(self, case: Case, seed: int) -> "ScriptedSession":
        return ScriptedSession([_messages(line) for line in case.user.get("lines", ())])


class ScriptedSession:
    def __init__(self, turns: Sequence[tuple[Message, ...]]) -> None:
        self._waiting = iter(turns)

    async def say(self, conversation: Sequence[Message]) -> tuple[Message, ...]:
        return next(self._waiting, ())


def _messages(line: str | Sequence[Message]) -> tuple[Message, ...]:
    return ({"role": "user", "content": line},) if isinstance(line, str) else tuple(line)
