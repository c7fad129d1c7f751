"""Chat templates: from messages and tools to a prompt, rendered as `transformers` does."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError

from serving.openai.bounded_template import BoundedEnvironment, rendered
from serving.openai.error import ApiError
from serving.openai.tool_prompt import without_tools

Message = Mapping[str, Any]
Tool = Mapping[str, Any]

CHATML = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""


class ChatTemplate:
    """A model's own template, in Jinja2's sandbox; ChatML for a model that has none.

    A template that does not mention tools gets them as text: see `serving.openai.tool_prompt`. Source that is no
    template is a ValueError.
    """

    def __init__(self, source: str | None, *, bos_token: str | None = None, eos_token: str | None = None) -> None:
        try:
            self._template = _environment().from_string(source or CHATML)
        except (TemplateError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"the model's chat template is not valid: {reason}") from None
        self._tokens = {"bos_token": bos_token or "", "eos_token": eos_token or ""}
        self._knows_developer = "developer" in (source or CHATML)
        self.knows_tools = "tools" in (source or CHATML)

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """The prompt, up to where the assistant's answer begins. Raises `ApiError` (400) with what the
        template refuses, for example an order of roles."""
        if self.knows_tools:
            turns, offered = [self._turn(message) for message in messages], list(tools) or None
        else:
            turns, offered = without_tools(messages, tools), None
        try:
            text = rendered(self._template, messages=turns, tools=offered, add_generation_prompt=True, **self._tokens)
            text.encode()  # a lone surrogate has no tokens
            return text
        # The template is the model's own program: whatever it trips over is an answer, not our failure.
        except _TRIPS as error:
            reason = _reason(error)
            message = f"The model's chat template refuses these messages: {reason}"
            raise ApiError(message, param="messages", code="chat_template_error") from None

    def _turn(self, message: Message) -> Message:
        if message["role"] == "developer" and not self._knows_developer:
            return {**message, "role": "system"}
        return _with_parsed_arguments(message) if message["role"] == "assistant" else message


_TRIPS = (
    *(TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError),
    *(RecursionError, MemoryError),
)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "it writes an unpaired surrogate"
    return "it nests too deep" if isinstance(error, RecursionError) else str(error) or type(error).__name__


def _environment() -> BoundedEnvironment:
    environment = BoundedEnvironment()
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja2's own filter escapes HTML characters, which no model was trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(style: str) -> str:
    return datetime.now().strftime(style)


def _with_parsed_arguments(message: Message) -> dict[str, Any]:
    """Templates print a call's arguments with `tojson`: OpenAI's string would be printed twice quoted."""
    turn = {**message, "content": message.get("content") or ""}
    if message.get("tool_calls"):
        turn["tool_calls"] = [_parsed_call(call) for call in message["tool_calls"]]
    return turn


def _parsed_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    with suppress(ValueError, RecursionError):  # a call that was cut off, or is nested too deep, stays a string
        arguments = json.loads(function["arguments"])
        json.dumps(arguments, ensure_ascii=False).encode()  # an unpaired surrogate is in no text
        function["arguments"] = arguments
    return {**call, "function": function}
