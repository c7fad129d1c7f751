"""The `chat` agent: one model call for each turn."""

from pydantic import BaseModel, ConfigDict, Field

from agentbench.agents.context import Demonstration, Memory, MemoryConfig, demonstrated
from agentbench.core.case import Case
from agentbench.core.protocols import ChatClient, ChatRequest, Toolbox


class ChatConfig(BaseModel):
    """Options of the `chat` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system_prompt: str | None = Field(None, description="Comes before the case's messages.")
    demonstrations: tuple[Demonstration, ...] = Field(
        (), description="Example exchanges that come before the case's messages."
    )
    memory: MemoryConfig = Field(MemoryConfig(), description="How much of a long conversation the model sees.")
    temperature: float | None = Field(0.0, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(512, gt=0)


class ChatAgent:
    """Sends the case's messages and returns the answer's text. It offers the model no tools."""

    Config = ChatConfig

    def __init__(self, config: ChatConfig) -> None:
        self._config = config
        self._memory = Memory(config.memory)

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> str:
        system = self._config.system_prompt
        opening = ({"role": "system", "content": system},) if system else ()
        shown = await self._memory.shown(case.messages, backend)
        request = ChatRequest(
            messages=(*opening, *demonstrated(self._config.demonstrations, case.messages), *shown),
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            max_tokens=self._config.max_tokens,
        )
        return (await backend.chat(request)).text
