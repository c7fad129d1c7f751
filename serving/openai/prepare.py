"""Turns a validated body into prompt token ids, sampling parameters, a grammar and answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from serving.openai.reasoning import (
    ReasoningConstraint,
    ReasoningFormat,
    ReasoningStream,
    ReasoningVocabulary,
    reasoning_vocabulary,
)
from serving.openai.schema_limits import check_schemas, check_strict
from serving.openai.tools.choice import Calling, calling
from serving.openai.tools.format import CallFormat
from serving.openai.tools.stream import ToolCallStream

COMPLETION_TOKENS = 16  # OpenAI's default for /v1/completions


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A request that is ready for the engine. Each of the `params.n` `answers` turns its deltas into choices."""

    prompt_ids: Sequence[int]
    params: SamplingParams
    constraint: Constraint | None
    answers: Sequence[Answer]


class Preparation:
    """Renders the prompt, tokenizes it and compiles the grammar. Thread-safe; a request takes milliseconds."""

    def __init__(self, engine: Engine, tool_calls: ToolCalls = "auto") -> None:
        tokenizer = engine.tokenizer
        self._tool_calls = tool_calls
        self._tokenizer = tokenizer
        self._max_model_len = engine.max_model_len
        self._max_characters = _max_characters(tokenizer, engine.max_model_len)
        self._grammars = CheckedGrammars(tokenizer)
        self._template = _template(tokenizer)
        self._form = _with_special(self._template.calls, tokenizer)
        self._reasoning = self._template.reasoning
        self._marks = None if self._reasoning is None else _marks(self._reasoning, tokenizer)
        self._shown = _shown(self._form, self._reasoning, tokenizer)
        self._literal = LiteralText(tokenizer)

    def chat(self, body: ChatBody) -> PreparedRequest:
        logprobs = chat_logprobs(body)
        schema = _answer_schema(body.response_format)
        check_schemas([] if schema is None else [schema], "response_format")
        check_schemas([tool.function.parameters or {} for tool in body.tools or ()], "tools")
        check_strict([] if schema is None else [schema], "response_format")
        check_strict([tool.function.parameters or {} for tool in body.tools or () if tool.function.strict], "tools")
        use = calling(body, schema, self._form, self._tool_calls)
        text = self._render(body)
        is_begun = self._reasoning is not None and self._reasoning.is_begun(text)
        text += self._forced(use, is_begun=is_begun)
        # A model's own template writes the beginning-of-sequence token; the default template has none.
        prompt_ids = self._encode(text, "messages", begin=self._tokenizer.chat_template is None)
        limit = body.max_completion_tokens or body.max_tokens
        max_tokens = self._max_tokens(prompt_ids, limit, "messages")
        params = sampling_params(body, max_tokens, logprobs, self._tokenizer.vocab_size)
        if use:  # stop strings apply to text, never to a call
            stop = () if use.forced else params.stop
            params = replace(params, stop=stop, stop_until=self._form.tag)
        constraint = self._constraint(use, schema)
        if use is None or use.forced is None:
            constraint = self._thinking(constraint, body, is_begun)
        return PreparedRequest(
            prompt_ids=prompt_ids,
            params=replace(params, shown=self._shown if use or self._reasoning else frozenset()),
            constraint=constraint,
            answers=[self._chat_answer(index, params, use, is_begun) for index in range(params.n)],
        )

    def completion(self, body: CompletionBody) -> PreparedRequest:
        prompt_ids = self._prompt_ids(body.prompt)
        limit = body.max_tokens or COMPLETION_TOKENS
        max_tokens = self._max_tokens(prompt_ids, limit, "prompt")
        params = sampling_params(body, max_tokens, body.logprobs, self._tokenizer.vocab_size)
        return PreparedRequest(
            prompt_ids=prompt_ids,
            params=params,
            constraint=None,
            answers=[self._text_answer(index, params) for index in range(params.n)],
        )

    def _thinking(self, constraint: Constraint | None, body: ChatBody, is_begun: bool) -> Constraint | None:
        """The constraint on what follows the reasoning, and the reasoning's budget."""
        budget = body.thinking_token_budget
        if budget is not None and self._marks is not None and len(self._marks.opening) > 1 and not is_begun:
            message = "thinking_token_budget: this model's mark of reasoning is no single token. Leave it out."
            raise ApiError(message, param="thinking_token_budget", code="unsupported_parameter")
        if self._marks is None or (constraint is None and budget is None):
            return constraint
        return ReasoningConstraint(constraint, self._marks, is_begun=is_begun, budget=budget)

    def _chat_answer(self, index: int, params: SamplingParams, use: Calling | None, is_begun: bool) -> ChatAnswer:
        logprobs = None if params.logprobs is None else ChatLogprobs(self._tokenizer)
        reasoning = None if self._reasoning is None else ReasoningStream(self._reasoning, is_begun=is_begun)
        if use is None:
            return ChatAnswer(index, logprobs, reasoning=reasoning)
        if use.forced is not None:
            reasoning = None
        calls = ToolCallStream(
            use.untagged, use.most, written=self._form, functions=use.functions, only_first=use.only_first
        )
        return ChatAnswer(index, logprobs, calls, "".join(use.forced or ()), reasoning)

    def _text_answer(self, index: int, params: SamplingParams) -> TextAnswer:
        return TextAnswer(index, None if params.logprobs is None else CompletionLogprobs(self._tokenizer))

    def _encode(self, text: str, param: str, *, begin: bool) -> list[int]:
        """Tokenize the prompt. With `begin`, add the model's beginning-of-sequence token, if it has one.

        Tokenizing a long text takes seconds, so a text that can't fit into the context is refused before.
        """
        length = len(self._literal.unmarked(text))
        if length > self._max_characters:
            context = self._max_model_len
            message = f"The model's context is {context} tokens; the prompt's {length} characters need more."
            raise ApiError(message, param=param, code="context_length_exceeded")
        return self._literal.encode(text, begin=begin)

    def _render(self, body: ChatBody) -> str:
        """The prompt. Control tokens that the client's text spells are marked; see `LiteralText`."""
        messages = [self._literal.marked(message.model_dump(exclude_none=True)) for message in body.messages]
        hidden = body.tool_choice == "none" or not body.tools
        tools = (
            [] if hidden else [self._literal.marked(tool.model_dump(exclude_none=True)) for tool in body.tools or ()]
        )
        try:
            return self._template.render(messages, tools, self._variables(body))
        except ApiError as error:
            error.message = self._literal.unmarked(error.message)
            raise

    def _variables(self, body: ChatBody) -> dict[str, Any]:
        """What the request sets of the template: `reasoning_effort` also as the switches that templates have."""
        effort = body.reasoning_effort
        if self._reasoning is None:
            self._refuse_reasoning(body)
        thinks = {} if effort is None else dict.fromkeys(("enable_thinking", "thinking"), effort != "none")
        named = {} if effort is None else {"reasoning_effort": effort}
        return {**thinks, **named, **self._literal.marked(body.chat_template_kwargs or {})}

    @staticmethod
    def _refuse_reasoning(body: ChatBody) -> None:
        """`ApiError` (400) for a parameter of reasoning that asks for some."""
        asked = {"reasoning_effort": body.reasoning_effort not in (None, "none")}
        asked["thinking_token_budget"] = bool(body.thinking_token_budget)
        for param in (name for name, is_asked in asked.items() if is_asked):
            message = f"{param}: this model's chat template has no reasoning. Leave {param} out."
            raise ApiError(message, param=param, code="unsupported_parameter")

    def _forced(self, use: Calling | None, *, is_begun: bool) -> str:
        """A tool's name may spell a control token; what the format writes around it may be one.

        Reasoning that the prompt begins is ended first: a call that is forced leaves no room for it.
        """
        if use is None or use.forced is None:
            return ""
        before, name, middle = use.forced
        closed = f"{self._reasoning.closing}{self._reasoning.gap}" if is_begun and self._reasoning else ""
        return f"{closed}{before}{self._literal.marked(name)}{middle}"

    def _constraint(self, use: Calling | None, schema: Schema | None) -> Constraint | None:
        if use is not None:
            return None if use.grammar is None else self._grammars.constraint(use.grammar, "tools")
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
            raise ApiError(f"prompt: a request may have one prompt, got {len(prompt)}.", param="prompt")
        size = self._tokenizer.vocab_size
        invalid = next((token for token in ids if not 0 <= token < size), None)
        if invalid is not None:
            raise ApiError(f"prompt: token {invalid} is not in the vocabulary (0 to {size - 1}).", param="prompt")
        return ids

    def _max_tokens(self, prompt_ids: Sequence[int], limit: int | None, param: str) -> int:
        """The answer's maximum number of tokens: `limit`, or the rest of the context if it is None."""
        length, context = len(prompt_ids), self._max_model_len
        if not length:
            raise ApiError(f"{param}: the prompt is empty.", param=param)
        if length + (limit or 1) <= context:
            return limit or context - length
        answer = f"may have {limit}" if limit else "needs at least one more"
        message = f"The model's context is {context} tokens; the prompt has {length} and the answer {answer}."
        raise ApiError(message, param=param, code="context_length_exceeded")


def _template(tokenizer: Tokenizer) -> ChatTemplate:
    try:
        return ChatTemplate(tokenizer.chat_template, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token)
    except ValueError as error:
        raise ModelLoadError(str(error)) from None


def _with_special(form: CallFormat, tokenizer: Tokenizer) -> CallFormat:
    """The format with the control tokens that it writes."""
    texts = {tokenizer.token_bytes(token).decode(errors="replace"): token for token in tokenizer.special_ids}
    return replace(form, special={text: token for text, token in texts.items() if text and form.writes(text)})


def _marks(form: ReasoningFormat, tokenizer: Tokenizer) -> ReasoningVocabulary:
    ends = tuple(tokenizer.eos_ids)
    return reasoning_vocabulary(form, tokenizer.encode, tokenizer.token_bytes, tokenizer.vocab_size, ends)


def _shown(calls: CallFormat, reasoning: ReasoningFormat | None, tokenizer: Tokenizer) -> frozenset[int]:
    """The control tokens that are read in an answer."""
    marks = () if reasoning is None else (reasoning.opening, reasoning.closing)
    read = {token for token in tokenizer.special_ids if tokenizer.token_bytes(token).decode(errors="replace") in marks}
    return frozenset({*calls.special.values(), *read})


def _answer_schema(response_format: ResponseFormat | None) -> Schema | None:
    if isinstance(response_format, JsonSchemaFormat):
        return response_format.json_schema.schema_
    return ANY_OBJECT if isinstance(response_format, JsonObjectFormat) else None


def _max_characters(tokenizer: Tokenizer, tokens: int) -> float:
    """The most characters that `tokens` tokens can encode; infinite if the tokenizer normalizes the text before."""
    if tokenizer.hf.normalizer is not None:
        return math.inf
    return tokens * max(len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size))


def sampling_params(body: SampledBody, max_tokens: int, logprobs: int | None, vocab_size: int) -> SamplingParams:
    """The body's sampling parameters. Raises `ApiError` (400) for a bias on a token outside the vocabulary."""
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
    """The number of alternatives to report with each token; None if the client asks for no log probabilities.

    Raises `ApiError` (400) for `top_logprobs` without `logprobs`.
    """
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError("top_logprobs needs logprobs=true.", param="top_logprobs", code="invalid_value")
    return (body.top_logprobs or 0) if body.logprobs else None


def _logit_bias(bias: Mapping[int, float], vocab_size: int) -> tuple[tuple[int, float], ...]:
    invalid = next((token for token in bias if token >= vocab_size), None)
    if invalid is not None:
        message = f"logit_bias: token {invalid} is not in the vocabulary (0 to {vocab_size - 1})."
        raise ApiError(message, param="logit_bias", code="invalid_value")
    return tuple(bias.items())


def _or_default(value: float | None, default: float) -> float:
    return default if value is None else value
