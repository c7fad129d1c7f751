"""From a validated body to what the engine needs: prompt, sampling parameters and grammar."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from serving.config import ToolCalls
from serving.core import Constraint, ModelLoadError, SamplingParams
from serving.openai.answers import Answer, ChatAnswer, ChatLogprobs, CompletionLogprobs, TextAnswer
from serving.openai.bodies import (
    ChatBody,
    CompletionBody,
    JsonObjectFormat,
    JsonSchemaFormat,
    ResponseFormat,
    SampledBody,
)
from serving.openai.error import ApiError
from serving.openai.grammar import CheckedGrammars, json_grammar
from serving.openai.json_schema import ANY_OBJECT, Schema
from serving.openai.ports import Engine, Tokenizer
from serving.openai.prompt import ChatTemplate, LiteralText
from serving.openai.schema_limits import check_schemas, check_strict
from serving.openai.tool_calls import OPENING, Calling, ToolCallStream, calling

COMPLETION_TOKENS = 16  # OpenAI's default for /v1/completions


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that one request needs; `answers`, `params.n` of them, turn what is generated into what the client gets."""

    prompt_ids: Sequence[int]
    params: SamplingParams
    constraint: Constraint | None
    answers: Sequence[Answer]


class Preparation:
    """Renders, tokenizes and compiles: milliseconds, so it is run in a thread. Any number may run at once."""

    def __init__(self, engine: Engine, tool_calls: ToolCalls = "auto") -> None:
        tokenizer = engine.tokenizer
        self._tool_calls = tool_calls
        self._tokenizer = tokenizer
        self._max_model_len = engine.max_model_len
        self._longest_text = _longest_text(tokenizer, engine.max_model_len)
        self._grammars = CheckedGrammars(tokenizer)
        self._template = _template(tokenizer)
        self._literal = LiteralText(tokenizer)

    def chat(self, body: ChatBody) -> Prepared:
        logprobs = chat_logprobs(body)
        schema = _answer_schema(body.response_format)
        check_schemas([] if schema is None else [schema], "response_format")
        check_schemas([tool.function.parameters or {} for tool in body.tools or ()], "tools")
        check_strict([] if schema is None else [schema], "response_format")
        check_strict([tool.function.parameters or {} for tool in body.tools or () if tool.function.strict], "tools")
        use = calling(body, schema, self._tool_calls)
        text = self._render(body) + (self._forced(use) if use else "")
        # A model's own template writes the token that begins a text; ours knows none.
        prompt_ids = self._encode(text, "messages", begin=self._tokenizer.chat_template is None)
        limit = body.max_completion_tokens or body.max_tokens
        max_tokens = self._max_tokens(prompt_ids, limit, "messages")
        params = sampling_params(body, max_tokens, logprobs, self._tokenizer.vocab_size)
        if use:  # stop strings end a text, never a call
            params = replace(params, stop=() if use.forced else params.stop, stop_until=OPENING)
        return Prepared(
            prompt_ids=prompt_ids,
            params=params,
            constraint=self._constraint(use, schema),
            answers=[self._chat_answer(index, params, use) for index in range(params.n)],
        )

    def completion(self, body: CompletionBody) -> Prepared:
        prompt_ids = self._prompt_ids(body.prompt)
        limit = body.max_tokens or COMPLETION_TOKENS
        max_tokens = self._max_tokens(prompt_ids, limit, "prompt")
        params = sampling_params(body, max_tokens, body.logprobs, self._tokenizer.vocab_size)
        return Prepared(
            prompt_ids=prompt_ids,
            params=params,
            constraint=None,
            answers=[self._text_answer(index, params) for index in range(params.n)],
        )

    def _chat_answer(self, index: int, params: SamplingParams, use: Calling | None) -> ChatAnswer:
        logprobs = None if params.logprobs is None else ChatLogprobs(self._tokenizer)
        if use is None:
            return ChatAnswer(index, logprobs)
        return ChatAnswer(index, logprobs, ToolCallStream(use.untagged, use.most), use.forced)

    def _text_answer(self, index: int, params: SamplingParams) -> TextAnswer:
        return TextAnswer(index, None if params.logprobs is None else CompletionLogprobs(self._tokenizer))

    def _encode(self, text: str, param: str, *, begin: bool) -> list[int]:
        """A text that can't fit is refused before seconds are spent on its tokens.

        `begin`: with the token that the model has for the beginning of a text, if it has one.
        """
        length = len(self._literal.unmarked(text))
        if length > self._longest_text:
            context = self._max_model_len
            message = f"The model's context is {context} tokens; the prompt has more, in {length} characters."
            raise ApiError(message, param=param, code="context_length_exceeded")
        return self._literal.encode(text, begin=begin)

    def _render(self, body: ChatBody) -> str:
        """The prompt, with marks where the client's text spells control tokens."""
        messages = [self._literal.marked(message.model_dump(exclude_none=True)) for message in body.messages]
        hidden = body.tool_choice == "none" or not body.tools
        tools = (
            [] if hidden else [self._literal.marked(tool.model_dump(exclude_none=True)) for tool in body.tools or ()]
        )
        try:
            return self._template.render(messages, tools)
        except ApiError as error:
            error.message = self._literal.unmarked(error.message)
            raise

    def _forced(self, use: Calling) -> str:
        """A tool's name may spell a control token; the tag before it may be one."""
        return use.forced and OPENING + self._literal.marked(use.forced.removeprefix(OPENING))

    def _constraint(self, use: Calling | None, schema: Schema | None) -> Constraint | None:
        if use is not None:
            return self._grammars.constraint(use.grammar, "tools")
        if schema is not None:
            return self._grammars.constraint(json_grammar(schema), "response_format")
        return None

    def _prompt_ids(self, prompt: str | list[str] | list[int]) -> list[int]:
        if isinstance(prompt, str):
            return self._encode(prompt, "prompt", begin=True)
        if len(prompt) == 1 and isinstance(prompt[0], str):
            return self._encode(prompt[0], "prompt", begin=True)
        ids = [token for token in prompt if isinstance(token, int)]
        if len(ids) < len(prompt):
            raise ApiError(f"prompt: one prompt a request, got {len(prompt)}.", param="prompt")
        size = self._tokenizer.vocab_size
        bad = next((token for token in ids if not 0 <= token < size), None)
        if bad is not None:
            raise ApiError(f"prompt: token {bad} is not in the vocabulary (0 to {size - 1}).", param="prompt")
        return ids

    def _max_tokens(self, prompt_ids: Sequence[int], limit: int | None, param: str) -> int:
        """The answer's limit: the rest of the context where the client gives none."""
        length, context = len(prompt_ids), self._max_model_len
        if not length:
            raise ApiError(f"{param}: the prompt is empty.", param=param)
        if length + (limit or 1) <= context:
            return limit or context - length
        needed = f"and {limit} for the answer" if limit else "and the answer needs at least one more"
        message = f"The model's context is {context} tokens; the prompt has {length} {needed}."
        raise ApiError(message, param=param, code="context_length_exceeded")


def _template(tokenizer: Tokenizer) -> ChatTemplate:
    try:
        return ChatTemplate(tokenizer.chat_template, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token)
    except ValueError as error:
        raise ModelLoadError(str(error)) from None


def _answer_schema(response_format: ResponseFormat | None) -> Schema | None:
    if isinstance(response_format, JsonSchemaFormat):
        return response_format.json_schema.schema_
    return ANY_OBJECT if isinstance(response_format, JsonObjectFormat) else None


def _longest_text(tokenizer: Tokenizer, tokens: int) -> float:
    """Characters that this many tokens can stand for; unknown where the tokenizer changes the text first."""
    if tokenizer.hf.normalizer is not None:
        return math.inf
    return tokens * max(len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size))


def sampling_params(body: SampledBody, max_tokens: int, logprobs: int | None, vocab_size: int) -> SamplingParams:
    """Raises `ApiError` (400) for a bias on a token that there is not."""
    return SamplingParams(
        temperature=_or_default(body.temperature, 1.0),
        top_p=_or_default(body.top_p, 1.0),
        top_k=max(0, body.top_k or 0),
        min_p=_or_default(body.min_p, 0.0),
        presence_penalty=_or_default(body.presence_penalty, 0.0),
        frequency_penalty=_or_default(body.frequency_penalty, 0.0),
        repetition_penalty=_or_default(body.repetition_penalty, 1.0),
        logit_bias=_logit_bias(body.logit_bias or {}, vocab_size),
        logprobs=logprobs,
        n=body.n or 1,
        seed=body.seed,
        max_tokens=max_tokens,
        stop=tuple(body.stop),
        ignore_eos=bool(body.ignore_eos),
    )


def chat_logprobs(body: ChatBody) -> int | None:
    """How many alternatives to report with each token; None where nothing is asked for."""
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError("top_logprobs needs logprobs=true.", param="top_logprobs", code="invalid_value")
    return (body.top_logprobs or 0) if body.logprobs else None


def _logit_bias(bias: Mapping[int, float], vocab_size: int) -> tuple[tuple[int, float], ...]:
    bad = next((token for token in bias if token >= vocab_size), None)
    if bad is not None:
        message = f"logit_bias: token {bad} is not in the vocabulary (0 to {vocab_size - 1})."
        raise ApiError(message, param="logit_bias", code="invalid_value")
    return tuple(bias.items())


def _or_default(value: float | None, default: float) -> float:
    return default if value is None else value
