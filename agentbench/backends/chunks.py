"""The chunks of a streamed answer, as far as they are read.

Servers add fields of their own, so that unknown ones are let through here, unlike in what a user writes.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from agentbench.openai_stream import token_count

Count = Annotated[int | None, BeforeValidator(token_count)]


class PromptTokensDetails(BaseModel):
    cached_tokens: Count = None


class Usage(BaseModel):
    """The server's counts so far."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    prompt_tokens_details: PromptTokensDetails | None = None


class Chunk(BaseModel):
    """One event. `error` is set instead of all else when the server fails in the middle of an answer."""

    choices: list[dict[str, Any]] | None = None
    usage: Usage | None = None
    error: Any = None
