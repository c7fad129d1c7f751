"""The form in which a model writes tool calls, read off its chat template.

The template is rendered with calls of known names, keys and values. What it writes around them is the format. A small
table by markers decides where a template renders no calls.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jinja2 import TemplateError

Message = Mapping[str, Any]
Render = Callable[[Sequence[Message], Sequence[Mapping[str, Any]], bool], str]
"""The template's text for messages and tools; the flag asks for the beginning of the assistant's answer."""


ANY_ID = "\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedArguments:
    """Arguments one by one: `opening` key `middle` value `closing`, and `separator` between two of them.

    `quote` stands around a text. Where there is none, a text is written as it is, up to `closing`.
    """

    opening: str = ""
    middle: str = "="
    closing: str = ""
    separator: str = ", "
    quote: str = '"'
    literals: Literal["json", "python"] = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFormat:
    """One call is `before` name `middle` arguments `after`. `between` stands before the name of a further call.

    Arguments are a JSON object, or `keyed`. `between` is empty for a model that makes one call a turn.
    `special` are the texts in the format that are control tokens, with their ids. `sends_text`: the template takes a
    call's arguments as JSON text, where most take an object. `ANY_ID` stands for the id of a call.
    """

    before: str
    middle: str
    between: str
    after: str
    keyed: KeyedArguments | None = None
    sends_text: bool = False
    special: Mapping[str, int] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The text that begins a call and nothing else; empty where calls begin like other text."""
        found = _TAG.match(self.before)
        return found[0] if found else ""

    @property
    def lead(self) -> str:
        """What stands between the tag and the name."""
        return self.before.removeprefix(self.tag)

    def writes(self, text: str) -> bool:
        """Whether the text is part of what stands around names, keys and values."""
        keyed = self.keyed
        marks = () if keyed is None else (keyed.opening, keyed.middle, keyed.closing, keyed.separator, keyed.quote)
        return any(text in part for part in (self.before, self.middle, self.between, self.after, *marks))

    def __str__(self) -> str:
        """For people: `JSON in <tool_call>`."""
        notation = "JSON" if self.keyed is None else "Python" if self.keyed.literals == "python" else "keys and values"
        return f"{notation} in {self.tag}" if self.tag else notation


_TAG = re.compile(r"(?:<[^<>\s]+>|\[[A-Z_]+\])+[^\s{}\[\]()<]*(?:<[^<>\s]+>)*|<\w+=")

HERMES = CallFormat(
    before='<tool_call>\n{"name": "',
    middle='", "arguments": ',
    between='}\n</tool_call>\n<tool_call>\n{"name": "',
    after="}\n</tool_call>",
)
"""Hermes 2 Pro's, Qwen's and others'; also of models whose template knows no tools."""

_LLAMA = CallFormat(before='{"name": "', middle='", "parameters": ', between="", after="}")
_MISTRAL = CallFormat(before="[TOOL_CALLS]", middle="[ARGS]", between="[TOOL_CALLS]", after="")
_PYTHONIC = CallFormat(
    before="[",
    middle="(",
    between="), ",
    after=")]",
    keyed=KeyedArguments(literals="python"),
)
_XML = CallFormat(
    before="<tool_call>\n<function=",
    middle=">\n",
    between="</function>\n</tool_call>\n<tool_call>\n<function=",
    after="</function>\n</tool_call>",
    keyed=KeyedArguments(opening="<parameter=", middle=">\n", closing="\n</parameter>\n", separator="", quote=""),
)
_GEMMA = CallFormat(
    before="<start_function_call>call:",
    middle="{",
    between="}<end_function_call><start_function_call>call:",
    after="}<end_function_call>",
    keyed=KeyedArguments(middle=":", separator=",", quote="<escape>"),
)
_HARMONY = CallFormat(
    before="<|channel|>commentary to=functions.",
    middle=" <|constrain|>json<|message|>",
    between="",
    after="",
)
_LISTED = CallFormat(
    before='<|tool_call|>[{"name": "',
    middle='", "arguments": ',
    between='}, {"name": "',
    after="}]",
)
_TAGGED_PYTHON = replace(_PYTHONIC, before="<|tool_call_start|>[", after=")]<|tool_call_end|>")
_BY_MARKER: Sequence[tuple[str, CallFormat]] = (
    ("to=functions.", _HARMONY),
    ("<start_function_call>", _GEMMA),
    ("<function=", _XML),
    ("[TOOL_CALLS]", _MISTRAL),
    ("<tool_call>", HERMES),
    ("<|tool_call|>", _LISTED),
    ("<|tool_call_start|>", _TAGGED_PYTHON),
    ("<|tool_list_start|>", _TAGGED_PYTHON),
    ("<|python_tag|>", _LLAMA),
    ("[func_name1(", _PYTHONIC),
    ('"parameters": dictionary', _LLAMA),
)
"""Of templates that show no calls: what their instructions to the model, or their source, mention."""


def call_format(source: str, render: Render, ends: Sequence[str] = ()) -> CallFormat:
    """The format of the template `source`. `ends` are the texts that end a turn."""
    if not shows_tools(source, render):
        return HERMES
    if "to=functions." in source:  # what it shows of earlier calls is not what the model writes
        return _HARMONY
    shown = _as_rendered(render, ends)
    if shown is not None:
        return shown
    return next((known for marker, known in _BY_MARKER if marker in source), HERMES)


def shows_tools(source: str, render: Render) -> bool:
    """Whether the template puts tools into the prompt."""
    with suppress(*REFUSALS):
        return render([_QUESTION], _TOOLS, True) != render([_QUESTION], [], True)
    return "tools" in source


def _as_rendered(render: Render, ends: Sequence[str]) -> CallFormat | None:
    """A JSON object before keys and values: of an object that is written as Python writes it, both are found."""
    shown = []
    for sends_text in (False, True):
        with suppress(_NotShown, *REFUSALS):
            shown.append(replace(_Shown(render, ends, sends_text).format(), sends_text=sends_text))
    return min(shown, key=lambda found: found.keyed is not None, default=None)


REFUSALS = (
    *(TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError),
    *(RecursionError, MemoryError),
)
"""What a template may raise: it is the model's own program."""


class _NotShown(Exception):
    """The template does not show calls in a form that is known here."""


_NAMES = ("sentinel_first", "sentinel_second")
_ARGUMENTS: Mapping[str, Any] = {"key_one": "value one", "key_two": 7, "key_three": True}
_ANSWER = "sentinel answer"
_IDS = ("callfirst", "callsecnd")  # nine characters, as Mistral's templates insist
_PARAMETERS = {
    "type": "object",
    "properties": {
        "key_one": {"type": "string", "description": "a"},
        "key_two": {"type": "integer", "description": "b"},
        "key_three": {"type": "boolean", "description": "c"},
    },
    "required": ["key_one"],
}
_TOOLS = tuple(
    {"type": "function", "function": {"name": name, "description": "a tool", "parameters": _PARAMETERS}}
    for name in _NAMES
)
_QUESTION: Message = {"role": "user", "content": "sentinel question"}
_JSON = re.compile(r'\{\s*"key_one"\s*:\s*"value one"\s*,\s*"key_two"\s*:\s*7\s*,\s*"key_three"\s*:\s*true\s*\}')
_OTHER_KEYS = re.compile(r',\s*"[^"]*"\s*:\s*"\0"')


class _Shown:
    """What a template writes around calls."""

    def __init__(self, render: Render, ends: Sequence[str], sends_text: bool) -> None:
        self._render = render
        self._ends = [end for end in ends if end]
        self._sends_text = sends_text

    def format(self) -> CallFormat:
        one = self._turn(_NAMES[:1])
        before, rest = self._split(one, _NAMES[0])
        if found := _JSON.search(rest):
            middle, after = rest[: found.start()], rest[found.end() :]
            if "key_one" in middle:
                raise _NotShown
            between = self._between(lambda text: text[found.end() - found.start() + len(middle) :])
            return _bounded(CallFormat(before=before, middle=middle, between=_plain(between), after=_plain(after)))
        middle, keyed, after = self._keyed(rest)
        between = self._between(lambda text: text[len(rest) - len(after) :])
        return _bounded(CallFormat(before=before, middle=middle, between=between, after=after, keyed=keyed))

    def _between(self, after_arguments: Callable[[str], str]) -> str:
        """Empty where the template refuses two calls in a turn."""
        try:
            _, rest = self._split(self._turn(_NAMES), _NAMES[0])
        except REFUSALS:
            return ""
        return self._split(after_arguments(rest), _NAMES[1])[0]

    @staticmethod
    def _split(text: str, name: str) -> tuple[str, str]:
        before, found, rest = text.partition(name)
        if not found:
            raise _NotShown
        return before, rest

    def _turn(self, names: Sequence[str]) -> str:
        """The assistant's turn, without what begins and ends it."""
        calls = [self._call(name, id_) for name, id_ in zip(names, _IDS, strict=False)]
        conversation = self._render([_QUESTION], _TOOLS, False)
        with_calls = self._render([_QUESTION, {"role": "assistant", "content": "", "tool_calls": calls}], _TOOLS, False)
        with_text = self._render([_QUESTION, {"role": "assistant", "content": _ANSWER}], _TOOLS, False)
        turn = with_calls[len(_common_start(conversation, with_calls)) :]
        header = with_text[len(_common_start(conversation, with_text)) :].partition(_ANSWER)[0]
        turn = self._without_end(turn[len(_common_start(header, turn)) :].lstrip())
        for id_ in _IDS:
            turn = turn.replace(id_, ANY_ID)
        return turn

    def _without_end(self, turn: str) -> str:
        """Up to what ends the turn after the last argument."""
        last = turn.lower().rfind("true")
        ends = [at for end in self._ends if (at := turn.find(end, max(last, 0))) >= 0]
        return turn[: min(ends, default=len(turn))].rstrip()

    def _call(self, name: str, id_: str) -> Mapping[str, Any]:
        arguments = json.dumps(_ARGUMENTS) if self._sends_text else dict(_ARGUMENTS)
        return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}

    @staticmethod
    def _keyed(text: str) -> tuple[str, KeyedArguments, str]:
        """What comes before the arguments, their notation, and what comes after them."""
        found = _KEYED.match(text) if len(text) <= MAX_CHARACTERS else None
        if not found or found["number_middle"] != found["boolean_middle"]:
            raise _NotShown
        middle = found["number_middle"]
        quote = found["text_middle"].removeprefix(middle)
        after_text, after_number = found["after_text"].removeprefix(quote), found["after_number"]
        if not found["text_middle"].startswith(middle) or after_text != after_number:
            raise _NotShown
        opening = _common_end(found["begin"], after_text).lstrip()
        closing = _common_start(after_text, found["end"])
        if middle == "=" and found["begin"].endswith("("):
            return found["begin"], KeyedArguments(literals="python"), found["end"].removeprefix(quote)
        return (
            found["begin"].removesuffix(opening),
            KeyedArguments(
                opening=opening,
                middle=middle,
                closing=closing,
                separator=after_text.removeprefix(closing).removesuffix(opening),
                quote=quote,
            ),
            found["end"].removeprefix(closing),
        )


_KEYED = re.compile(
    r"(?P<begin>.*?)key_one(?P<text_middle>.*?)value one(?P<after_text>.*?)key_two(?P<number_middle>.*?)7"
    r"(?P<after_number>.*?)key_three(?P<boolean_middle>.*?)(?P<boolean>[Tt]rue)(?P<end>.*)",
    re.DOTALL,
)


MAX_CHARACTERS = 400
"""A format that writes more around one call is taken for something else."""


def _bounded(form: CallFormat) -> CallFormat:
    if len(form.before + form.middle + form.between + form.after) > MAX_CHARACTERS:
        raise _NotShown
    return form


def _plain(text: str) -> str:
    """Without further keys of the call's object, such as an id, which no client needs."""
    return _OTHER_KEYS.sub("", text)


def _common_start(first: str, second: str) -> str:
    """The longest common beginning that ends in no tag."""
    length = next((at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    common = first[: min(len(first), len(second)) if length is None else length]
    opened = common.rfind("<")
    return common if opened < 0 or ">" in common[opened:] else common[:opened]


def _common_end(first: str, second: str) -> str:
    """The longest common end that begins in no tag."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    length = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    common = first[len(first) - length :]
    closed, opened = common.find(">"), common.find("<")
    if closed >= 0 and (opened < 0 or closed < opened):
        common = common[opened:] if opened >= 0 else ""
    return common
