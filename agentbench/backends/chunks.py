"""The chunks of a streamed answer, as far as they are read.

Servers add fields of their own, so that unknown ones are let through here, unlike in what a user writes.
"""

from typing import Any

from pydantic import AliasChoices, BaseModel, Field


class FunctionFragment(BaseModel):
    name: str | None = None
    arguments: str | None = None


class ToolCallFragment(BaseModel):
    """A part of the call at `index`; the first part has its id and its function's name."""

    index: int = 0
    id: str | None = None
    function: FunctionFragment | None = None


class Delta(BaseModel):
    content: str | None = None
    reasoning: str | None = Field(None, validation_alias=AliasChoices("reasoning_content", "reasoning"))
    tool_calls: list[ToolCallFragment] | None = None

    @property
    def carries_token(self) -> bool:
        """False for an empty role-only delta."""
        return bool(self.content or self.reasoning or self.tool_calls)


class Choice(BaseModel):
    delta: Delta | None = None
    finish_reason: str | None = None


class PromptTokensDetails(BaseModel):
    cached_tokens: int | None = None


class Usage(BaseModel):
    """The server's counts so far."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None


class Chunk(BaseModel):
    """One event. `error` is set instead of all else when the server fails in the middle of an answer."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None
