"""Tool calls: which are allowed and by what grammar, and how they are read from the text of an answer."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import reduce
from itertools import product

from serving.config import ToolCalls
from serving.openai.bodies import ChatBody, NamedToolChoice, Tool
from serving.openai.error import ApiError
from serving.openai.grammar import MOST_CALLS, CallableFunction, arguments_grammar, auto_grammar, choice_grammar
from serving.openai.json_schema import Schema

OPENING = "<tool_call>"
CLOSING = "</tool_call>"
_NAME = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """How one request may call tools.

    `forced` is the part of the answer that is the same whatever the model says. It goes to the prompt's end,
    where it costs no decode step; `grammar` is what may follow. A call of a function in `untagged` is understood
    without tags; `most` calls are allowed.
    """

    forced: str
    grammar: str
    untagged: frozenset[str] = frozenset()
    most: int = 1


def calling(body: ChatBody, answer: Schema | None, reading: ToolCalls = "auto") -> Calling | None:
    """None where no tool may be called. `answer` is the schema of an answer without a call.

    Required and named are exactly one call; auto is a text, or up to `MOST_CALLS` calls.
    """
    choice = body.tool_choice or "auto"
    functions = [_function(tool) for tool in body.tools or ()]
    _check(choice, functions)
    if not functions or choice == "none":
        return None
    if reading == "off":
        if choice != "auto":
            raise ApiError("tool_choice: this server reads no calls (tool_calls=off).", param="tool_choice")
        return None
    if choice == "auto":
        most = 1 if body.parallel_tool_calls is False else MOST_CALLS
        # An answer that must fit a schema is JSON itself.
        names = {function.name for function in functions} if reading == "auto" and answer is None else ()
        grammar = auto_grammar(functions, answer, most)
        return Calling(forced="", grammar=grammar, untagged=frozenset(names), most=most)
    if isinstance(choice, NamedToolChoice):
        functions = [function for function in functions if function.name == choice.function.name]
    return _one_of(functions)


def _one_of(functions: Sequence[CallableFunction]) -> Calling:
    if len(functions) > 1:
        return Calling(forced=f'{OPENING}\n{{"name": "', grammar=choice_grammar(functions))
    [function] = functions
    name = json.dumps(function.name, ensure_ascii=False)
    # No space at the end: in most vocabularies it is part of the next token.
    forced = f'{OPENING}\n{{"name": {name}, "arguments":'
    return Calling(forced=forced, grammar=arguments_grammar(function))


def _function(tool: Tool) -> CallableFunction:
    function = tool.function
    return CallableFunction(name=function.name, parameters=function.parameters, strict=bool(function.strict))


def _check(choice: str | NamedToolChoice, functions: Sequence[CallableFunction]) -> None:
    names = [function.name for function in functions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ApiError(f"tools: {twice[0]!r} is there more than once.", param="tools")
    if choice == "required" and not names:
        raise ApiError("tool_choice='required' needs tools.", param="tool_choice")
    if isinstance(choice, NamedToolChoice) and choice.function.name not in names:
        message = f"tool_choice: no tool is named {choice.function.name!r}; there are: {', '.join(names)}."
        raise ApiError(message, param="tool_choice")


@dataclass(frozen=True, slots=True)
class Content:
    """Text that is not part of a call."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call whose name is known; its arguments follow."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The next piece of a call's arguments, which are JSON."""

    index: int
    text: str


Event = Content | CallStart | CallArguments


class _State(Enum):
    CONTENT = auto()
    NAME = auto()
    ARGUMENTS = auto()
    AFTER = auto()


class ToolCallStream:
    """Splits text that arrives in pieces into content and calls.

    A call is JSON in tags or, of a function in `untagged`, a JSON object that begins on a line of its own, fenced as
    code or not: some models write their calls so, whatever their template says. At most `most` calls have no tags.
    Its brace may be doubled: Qwen2.5-Coder's template shows calls so, and the model copies that.

    However the text is cut into pieces, the joined contents, the names and the joined arguments are the same.
    Text that can't be told yet (`<tool`, half a name) is held back. A call that ends early keeps the
    arguments it has; one that has no name yet is dropped, and without tags it is text.
    """

    def __init__(self, untagged: Collection[str] = (), most: int = MOST_CALLS) -> None:
        self._untagged = frozenset(untagged)
        self._most = most
        self._held = ""
        self._state = _State.CONTENT
        self._index = -1
        self._value = _JsonEnd()
        self._is_tagged = True
        self._starts_line = True

    @property
    def calls(self) -> int:
        return self._index + 1

    def feed(self, text: str) -> list[Event]:
        self._held += text
        events: list[Event] = []
        while True:
            state, before = self._state, len(self._held)
            events.extend(self._step())
            if self._state is state and len(self._held) == before:
                return events

    def finish(self) -> list[Event]:
        """What was held back and turns out to be text."""
        held, self._held = self._held, ""
        in_content = self._state is _State.CONTENT and self._index < 0
        return [Content(held)] if in_content and held else []

    def _step(self) -> Iterator[Event]:
        steps = {
            _State.CONTENT: self._content,
            _State.NAME: self._name,
            _State.ARGUMENTS: self._arguments,
            _State.AFTER: self._after,
        }
        return steps[self._state]()

    def _content(self) -> Iterator[Event]:
        """Up to where a call begins. White space before a first call, and all between calls, is no content."""
        text, tag, rest = self._held.partition(OPENING)
        found = self._find_untagged(text) if self._untagged and self.calls < self._most else None
        if found is not None and found.name:
            text, self._held = text[: found.begin].rstrip(), self._held[found.end :]
            yield from self._told(text)
            yield self._begin(found.name, is_tagged=False)
            return
        if found is not None and not tag:
            text, self._held = _split(text, found.begin)
        elif tag:
            self._held, self._state = rest, _State.NAME
            text = text.rstrip()
        else:
            text, self._held = _split_before_tag(text)
        yield from self._told(text)

    def _find_untagged(self, text: str) -> "_Untagged | None":
        """The first call without tags, or what may become one at the text's end."""
        for gap in (_LINE if self._index < 0 else _BETWEEN).finditer(text):
            if gap.start() == 0 and not self._starts_line and "\n" not in gap[0]:
                continue
            match = _UNTAGGED.match(text, gap.end())
            if match and match["name"] in self._untagged:
                return _Untagged(gap.start(), match.end(), match["name"])
            if match is None and _MAY_BE_UNTAGGED.fullmatch(text, gap.end()):
                return _Untagged(gap.start(), len(text), "")
        return None

    def _told(self, text: str) -> Iterator[Event]:
        if text:
            self._starts_line = text.endswith("\n")
            if self._index < 0:
                yield Content(text)

    def _begin(self, name: str, *, is_tagged: bool) -> CallStart:
        self._state, self._is_tagged = _State.ARGUMENTS, is_tagged
        self._index, self._value = self._index + 1, _JsonEnd()
        return CallStart(self._index, name)

    def _name(self) -> Iterator[Event]:
        match = _NAME.match(self._held)
        if match is None or match.end() == len(self._held):
            return  # arguments may still begin with white space
        self._held = self._held[match.end() :]
        yield self._begin(json.loads(match[1], strict=False), is_tagged=True)

    def _arguments(self) -> Iterator[Event]:
        end = self._value.find(self._held)
        text, self._held = self._held[:end], self._held[end:]
        if self._value.found:
            self._state = _State.AFTER
        if text:
            yield CallArguments(self._index, text)

    def _after(self) -> Iterator[Event]:
        _, closing, rest = self._held.partition(CLOSING if self._is_tagged else "}")
        if closing:
            self._held, self._state, self._starts_line = rest, _State.CONTENT, True
        yield from ()


class _JsonEnd:
    """Finds the end of a JSON object or array in text that arrives in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.found = False

    def find(self, text: str) -> int:
        """How much of `text` belongs to the value. Sets `found` once it is complete."""
        for position, character in enumerate(text):
            if self._in_string:
                self._read_string(character)
            else:
                self._read(character)
            if self.found:
                return position + 1
        return len(text)

    def _read(self, character: str) -> None:
        self._in_string = character == '"'
        if character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self.found = self._depth <= 0

    def _read_string(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_string = False


def _split_before_tag(text: str) -> tuple[str, str]:
    """`text` cut where it may be starting the opening tag, with the white space before it."""
    lengths = (n for n in range(len(OPENING) - 1, 0, -1) if text.endswith(OPENING[:n]))
    return _split(text, len(text) - next(lengths, 0))


def _split(text: str, end: int) -> tuple[str, str]:
    """`text` cut there, with the white space before in the second part."""
    prefix = text[:end].rstrip()
    return prefix, text[len(prefix) :]


@dataclass(frozen=True, slots=True)
class _Untagged:
    """A call from `begin`, its arguments from `end`; without a name one that may come."""

    begin: int
    end: int
    name: str


_LINE = re.compile(r"(?:\A|\n)\s*")
"""Where a line begins, with the white space up to its first character."""
_BETWEEN = re.compile(r"(?:\A|\n)[\s,\]]*")
"""The same between calls, which may be elements of an array."""
_FENCE = ("`", "`", "`", "[a-z_]*", r"\s*")
_ARRAY = (r"\[", r"\s*")
_HEAD = (r"\{\{?", r"\s*", *'"name"', r"\s*", ":", r"\s*", '"', r'[^"\\]{0,128}', '"', r"\s*", ",", r"\s*")
_KEYS = ('"arguments"', '"parameters"')
_UNTAGGED = re.compile(
    r'(?:```[a-z_]*\s*)?(?:\[\s*)?\{\{?\s*"name"\s*:\s*"(?P<name>[^"\\]{0,128})"\s*,'
    r'\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)


def _beginnings(atoms: Iterable[str]) -> str:
    """A pattern of what the sequence of atoms may begin with, from nothing to all of it."""
    return reduce(lambda rest, atom: f"(?:{atom}{rest})?", reversed([*atoms]), "")


_MAY_BE_UNTAGGED = re.compile(
    "|".join(
        _beginnings((*fence, *array, *_HEAD, *key, r"\s*", ":", r"\s*"))
        for fence, array, key in product(((), _FENCE), ((), _ARRAY), _KEYS)
    )
)
