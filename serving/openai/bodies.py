"""The request bodies of OpenAI's API, with the parameters that this server supports."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

MAX_SEED = 2**63 - 1
MAX_TOKENS = 2**31 - 1
MAX_ANSWERS = 16
MAX_LOGPROBS = 20
MAX_BIASED_TOKENS = 1024
MAX_STOP_CHARACTERS = 1024  # each step searches the text for the beginning of a stop string
_TOKEN_ID = re.compile(r"[0-9]{1,9}")
ToolChoiceWord = Literal["none", "auto", "required"]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
_RESERVED = frozenset(("messages", "tools", "add_generation_prompt", "bos_token", "eos_token"))


def _join_text_parts(content: object) -> object:
    """The joined text of a list of text parts; any other value unchanged. Raises ValueError for other parts."""
    if not isinstance(content, list):
        return content
    texts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if kind != "text" or not isinstance(part.get("text"), str):
            raise ValueError(f"only text parts are supported, got a part of type {kind!r}")
        texts.append(part["text"])
    return "".join(texts)


def _as_list(stop: object) -> object:
    """A list of one for a string, an empty list for None; any other value unchanged."""
    if stop is None:
        return []
    return [stop] if isinstance(stop, str) else stop


def _parse_token_ids(bias: object) -> object:
    """The bias with ints for keys, since JSON's keys are strings: {"50256": -100}. Raises ValueError."""
    if not isinstance(bias, dict):
        return bias
    if len(bias) > MAX_BIASED_TOKENS:
        raise ValueError(f"at most {MAX_BIASED_TOKENS} tokens may be biased, got {len(bias)}")
    invalid = next((key for key in bias if not _TOKEN_ID.fullmatch(key)), None)
    if invalid is not None:
        raise ValueError(f"the keys must be token ids, got {invalid[:80]!r}")
    return {int(key): value for key, value in bias.items()}


def _without_reserved(variables: dict[str, Any] | None) -> dict[str, Any] | None:
    """The server sets some variables itself."""
    if reserved := sorted(_RESERVED.intersection(variables or ())):
        raise ValueError(f"{reserved[0]} is set by the server")
    return variables


Text = Annotated[str, BeforeValidator(_join_text_parts)]
OptionalText = Annotated[str | None, BeforeValidator(_join_text_parts)]
StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
Bias = Annotated[float, Field(ge=-100, le=100)]


class _Body(BaseModel):
    """Checks types strictly, as OpenAI does: "1" is not accepted as a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _MessagePart(BaseModel):
    """Ignores unknown keys: clients send back answers of other servers (`refusal`, `annotations`)."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class FunctionCall(_MessagePart):
    name: str = Field(min_length=1)
    arguments: str = Field(description="JSON, as a string.")


class ToolCall(_MessagePart):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class TextMessage(_MessagePart):
    role: Literal["system", "developer", "user"]
    content: Text


class AssistantMessage(_MessagePart):
    role: Literal["assistant"]
    content: OptionalText = None
    reasoning_content: OptionalText = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(_MessagePart):
    role: Literal["tool"]
    content: Text
    tool_call_id: str


Message = Annotated[TextMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class Function(_Body):
    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Body):
    type: Literal["function"]
    function: Function


class FunctionName(_Body):
    name: str


class NamedToolChoice(_Body):
    type: Literal["function"]
    function: FunctionName


class JsonSchema(_Body):
    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class TextFormat(_Body):
    type: Literal["text"]


class JsonObjectFormat(_Body):
    type: Literal["json_object"]


class JsonSchemaFormat(_Body):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


class StreamOptions(_Body):
    """`continuous_usage_stats` adds the current token counts to every chunk."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class SampledBody(_Body):
    """The parameters of both endpoints."""

    model: str
    max_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    n: int | None = Field(None, ge=1, le=MAX_ANSWERS)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=MAX_TOKENS, description="-1 and 0 allow all tokens.")
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, ge=0.01, le=10)
    logit_bias: Annotated[dict[int, Bias] | None, BeforeValidator(_parse_token_ids)] = None
    seed: int | None = Field(None, ge=-MAX_SEED, le=MAX_SEED)
    stop: Annotated[list[StopString], BeforeValidator(_as_list), Field(max_length=4)] = []
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class ChatBody(SampledBody):
    """The body of POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, fail_fast=True)
    max_completion_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = Field(None, fail_fast=True)
    tool_choice: ToolChoiceWord | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: ReasoningEffort | None = None
    thinking_token_budget: int | None = Field(None, ge=0, le=MAX_TOKENS, description="Most tokens of reasoning.")
    chat_template_kwargs: Annotated[dict[str, Any] | None, AfterValidator(_without_reserved)] = Field(
        None, description="Variables of the model's chat template, such as enable_thinking."
    )


class CompletionBody(SampledBody):
    """The body of POST /v1/completions. A list as prompt has one text, or the token ids of one prompt."""

    prompt: str | Annotated[list[str], Field(fail_fast=True)] | Annotated[list[int], Field(fail_fast=True)]
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
