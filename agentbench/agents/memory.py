"""What of a long conversation the model is shown: all of it, the last turns, or those after a summary."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Message
from agentbench.protocols import ChatClient, ChatRequest

SUMMARIZE = (
    "Summarize the conversation so far in a few sentences. Keep names, numbers, decisions and what is still open."
)


class MemoryConfig(BaseModel):
    """Options of an agent's memory. A turn is a user's message and all that follows it up to the next."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["none", "window", "summary"] = Field("none", description="none: everything is shown.")
    turns: int = Field(4, ge=1, description="window and summary: turns shown whole.")
    max_tokens: int = Field(200, gt=0, description="summary: most tokens of one.")


class Memory:
    """System messages are always shown. A turn is kept or left out whole, so that no tool result loses its call."""

    def __init__(self, config: MemoryConfig) -> None:
        self._config = config

    async def shown(self, conversation: Sequence[Message], backend: ChatClient) -> list[Message]:
        """What to send. A summary of what is left out is asked of the model, and recorded like any call."""
        system = [message for message in conversation if message.get("role") == "system"]
        turns = turns_of([message for message in conversation if message.get("role") != "system"])
        if self._config.kind == "none" or len(turns) <= self._config.turns:
            return list(conversation)
        kept = [message for turn in turns[-self._config.turns :] for message in turn]
        if self._config.kind == "window":
            return [*system, *kept]
        left_out = [message for turn in turns[: -self._config.turns] for message in turn]
        summary = await self._summary(left_out, backend)
        return [*system, {"role": "system", "content": f"Earlier in this conversation: {summary}"}, *kept]

    async def _summary(self, messages: Sequence[Message], backend: ChatClient) -> str:
        request = ChatRequest(
            messages=(*messages, {"role": "user", "content": SUMMARIZE}),
            temperature=0.0,
            max_tokens=self._config.max_tokens,
        )
        return (await backend.chat(request)).answer


def turns_of(conversation: Sequence[Message]) -> list[list[Message]]:
    """The conversation cut before each user message; what comes before the first is a turn too."""
    turns: list[list[Message]] = []
    for message in conversation:
        if message.get("role") == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns
