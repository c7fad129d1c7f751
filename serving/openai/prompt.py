"""Prompts: the model's chat template, tools as text where it has no place for them, and clients' text kept literal."""

import json
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn, Protocol

from jinja2 import TemplateError

from serving.openai.bounded_template import BoundedEnvironment, rendered
from serving.openai.error import ApiError
from serving.openai.reasoning import reasoning_format
from serving.openai.tools.format import REFUSALS, Message, call_format, shows_tools

Tool = Mapping[str, Any]
PREAMBLE = """\
You may call one or more of these functions to assist with the user's request:
<tools>
{tools}
</tools>
To call a function, answer with its name and arguments as JSON between tags:
<tool_call>
{{"name": <function-name>, "arguments": <arguments-object>}}
</tool_call>"""
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "</s>")
CHATML = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""


class ChatTemplate:
    """A model's own template, in Jinja2's sandbox; ChatML for a model that has none.

    A template that does not mention tools gets them as text: see `without_tools`. Source that is no
    template is a ValueError.
    """

    def __init__(self, source: str | None, *, bos_token: str | None = None, eos_token: str | None = None) -> None:
        try:
            self._template = _environment().from_string(source or CHATML)
        except (TemplateError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"the model's chat template is not valid: {reason}") from None
        self._tokens = {"bos_token": bos_token or "", "eos_token": eos_token or ""}
        self.knows_tools = shows_tools(source or CHATML, self._rendered)
        self.calls = call_format(source or CHATML, self._rendered, [eos_token or "", *_TURN_ENDS])
        self.reasoning = reasoning_format(source or CHATML, self._rendered)
        self._knows_developer = "developer" in (source or CHATML)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool] = (), variables: Mapping[str, Any] | None = None
    ) -> str:
        """The prompt, up to where the assistant's answer begins. `variables` are further ones of the template.

        Raises `ApiError` (400) with what the template refuses, for example an order of roles.
        """
        if self.knows_tools:
            turns, offered = [self._turn(message) for message in messages], tools
        else:
            turns, offered = without_tools(messages, tools), ()
        try:
            text = self._rendered(turns, offered, variables=variables)
            text.encode()  # a lone surrogate has no tokens
            return text
        # The template is the model's own program: whatever it trips over is an answer, not our failure.
        except REFUSALS as error:
            reason = _reason(error)
            message = f"The model's chat template refuses these messages: {reason}"
            raise ApiError(message, param="messages", code="chat_template_error") from None

    def _rendered(
        self,
        turns: Sequence[Message],
        tools: Sequence[Tool],
        begin_answer: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        return rendered(
            self._template,
            **(variables or {}),
            messages=turns,
            tools=list(tools) or None,
            add_generation_prompt=begin_answer,
            **self._tokens,
        )

    def _turn(self, message: Message) -> Message:
        if message["role"] == "developer" and not self._knows_developer:
            return {**message, "role": "system"}
        if message["role"] != "assistant":
            return message
        turn = {**message, "content": message.get("content") or ""}
        return turn if self.calls.sends_text else _with_parsed_arguments(turn)


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
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [_parsed_call(call) for call in calls]} if calls else dict(message)


def _parsed_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    with suppress(ValueError, RecursionError):  # a call that was cut off, or is nested too deep, stays a string
        arguments = json.loads(function["arguments"])
        json.dumps(arguments, ensure_ascii=False).encode()  # an unpaired surrogate is in no text
        function["arguments"] = arguments
    return {**call, "function": function}


def without_tools(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """The same conversation in system, user and assistant turns of plain text.

    Tools go into the system message, calls into the assistant's text, results into the user's turn.
    """
    turns = [_as_text(message) for message in messages]
    if tools:
        turns = _with_system(turns, preamble(tools))
    return list(_joined_responses(turns))


def preamble(tools: Sequence[Tool]) -> str:
    return PREAMBLE.format(tools="\n".join(_compact(tool["function"]) for tool in tools))


def _as_text(message: Message) -> Message:
    content = message.get("content") or ""
    match message["role"]:
        case "tool":
            response = f"<tool_response>\n{content}\n</tool_response>"
            return {"role": "user", "content": response, "is_response": True}
        case "assistant" if message.get("tool_calls"):
            calls = "\n".join(_call(call["function"]) for call in message["tool_calls"])
            return {"role": "assistant", "content": f"{content}\n{calls}" if content else calls}
        case "developer":
            return {"role": "system", "content": content}
        case role:
            return {"role": role, "content": content}


def _call(function: Mapping[str, str]) -> str:
    """As the model wrote it: the arguments are JSON already."""
    name = _compact(function["name"])
    return f'<tool_call>\n{{"name": {name}, "arguments": {function["arguments"]}}}\n</tool_call>'


def _with_system(turns: list[Message], text: str) -> list[Message]:
    if turns[0]["role"] != "system":
        return [{"role": "system", "content": text}, *turns]
    return [{"role": "system", "content": f"{turns[0]['content']}\n\n{text}"}, *turns[1:]]


def _joined_responses(turns: Sequence[Message]) -> Iterator[Message]:
    """Results of parallel calls share one turn: many templates insist on alternating roles."""
    responses: list[str] = []
    for turn in turns:
        if turn.get("is_response"):
            responses.append(turn["content"])
            continue
        if responses:
            yield {"role": "user", "content": "\n".join(responses)}
            responses = []
        yield turn
    if responses:
        yield {"role": "user", "content": "\n".join(responses)}


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class LiteralTokenizer(Protocol):
    """What is needed of the model's tokenizer; see `serving.checkpoint.tokenizer.Tokenizer`."""

    @property
    def special_ids(self) -> Collection[int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...
    def encode(self, text: str, add_special: bool = False) -> list[int]: ...
    def encode_literal(self, text: str) -> list[int]: ...


class LiteralText:
    """Marks the control tokens in a client's strings before a template puts its own beside them.

    A mark is a word that no client can guess, and that JSON and templates leave as it is.
    """

    def __init__(self, tokenizer: LiteralTokenizer) -> None:
        self._tokenizer = tokenizer
        spelled = {tokenizer.token_bytes(token).decode(errors="replace") for token in tokenizer.special_ids} - {""}
        self._texts = sorted(spelled, key=len, reverse=True)  # of two that begin alike the longer one
        self._numbers = {text: number for number, text in enumerate(self._texts)}
        self._spelled = re.compile("|".join(map(re.escape, self._texts)) or r"(?!)")
        self._word = f"literal{secrets.token_hex(16)}x"
        self._mark = re.compile(rf"{self._word}(\d+)x")

    def marked(self, value: Any) -> Any:
        """A string, or a JSON value with all strings in it, keys too."""
        if isinstance(value, str):
            return self._spelled.sub(lambda found: f"{self._word}{self._numbers[found[0]]}x", value)
        if isinstance(value, Mapping):
            return {self.marked(key): self.marked(item) for key, item in value.items()}
        return [self.marked(item) for item in value] if isinstance(value, list | tuple) else value

    def unmarked(self, text: str) -> str:
        return self._mark.sub(lambda found: self._texts[int(found[1])], text)

    def encode(self, text: str, *, begin: bool) -> list[int]:
        """Ids of a text with marks: what they stand for as plain text, control tokens of the rest as such.

        `begin`: with the token that the model has for the beginning of a text, if it has one.
        """
        first, *others = self._mark.split(text)
        ids = self._tokenizer.encode(first, add_special=begin)
        for number, following in zip(others[::2], others[1::2], strict=True):
            ids += self._tokenizer.encode_literal(self._texts[int(number)])
            ids += self._tokenizer.encode(following) if following else []
        return ids
