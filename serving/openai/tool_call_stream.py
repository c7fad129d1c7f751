"""Tool calls in the text of an answer, read as it arrives."""

import ast
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache, reduce
from itertools import product
from typing import Any

from serving.openai.call_grammar import MOST_CALLS
from serving.openai.json_schema import Schema
from serving.openai.tool_format import ANY_ID, HERMES, CallFormat, KeyedArguments


@dataclass(frozen=True, slots=True)
class Content:
    """Text that is not part of a call."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call whose name is complete; its arguments follow."""

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

    A call is written in the model's own format or, of a function in `untagged`, as a JSON object that begins on a line
    of its own, fenced as code or not: some models write their calls so, whatever their template says. At most `most`
    calls have no tags. Its brace may be doubled: Qwen2.5-Coder's template shows calls so, and the model copies that.
    `functions` are the parameters of the offered functions: they decide which values are text in a format that does
    not tell. `only_first`: an answer that begins with other text has no calls, since it must be JSON.

    However the text is cut into pieces, the joined contents, the names and the joined arguments are the same.
    Undecided text (`<tool`, half a name) is held back. A call that ends early keeps the arguments it has. One that has
    no name yet is dropped, and without tags it is text.
    """

    def __init__(
        self,
        untagged: Collection[str] = (),
        most: int = MOST_CALLS,
        *,
        written: CallFormat = HERMES,
        functions: Mapping[str, Schema] | None = None,
        only_first: bool = False,
    ) -> None:
        self._untagged = frozenset(untagged)
        self._most = most
        self._format = written
        self._patterns = _patterns(written.before, written.middle, written.between, written.after, written.tag)
        self._functions = functions or {}
        self._held = ""
        self._state = _State.CONTENT
        self._name, self._may_be_name = self._patterns.name, self._patterns.may_be_name
        self._opening = ""
        self._index = -1
        self._value: _JsonReader | _KeyedReader = _JsonReader()
        self._is_tagged = True
        self._starts_line = True
        self._is_empty = True
        self._only_first = only_first

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
            _State.CONTENT: self._read_content,
            _State.NAME: self._read_name,
            _State.ARGUMENTS: self._read_arguments,
            _State.AFTER: self._read_after,
        }
        return steps[self._state]()

    def _read_content(self) -> Iterator[Event]:
        """Up to where a call begins. White space before a first call, and all between calls, is no content."""
        tag = self._format.tag
        if self._only_first and self._index < 0 and self._begins_otherwise(tag):
            text, self._held = self._held, ""
            yield from self._as_content(text)
            return
        text, begun, rest = self._held.partition(tag) if tag else (self._held, "", "")
        found = self._find_untagged(text)
        if found is not None and found.name:
            text, self._held = text[: found.begin].rstrip(), self._held[found.end :]
            yield from self._as_content(text)
            yield self._begin(found.name, is_tagged=found.is_own)
            return
        if found is not None and not begun:
            text, self._held = _split(text, found.begin)
        elif begun:
            self._held, self._state = rest, _State.NAME
            self._name, self._may_be_name = self._patterns.name, self._patterns.may_be_name
            self._opening = text[len(text.rstrip()) :] + tag
            text = text.rstrip()
        else:
            text, self._held = _split_before(text, tag)
        yield from self._as_content(text)

    def _begins_otherwise(self, tag: str) -> bool:
        """Whether the answer's first text is no tag."""
        first = self._held.lstrip()
        return bool(tag) and (not self._is_empty or not (first.startswith(tag) or tag.startswith(first)))

    def _find_untagged(self, text: str) -> "_Untagged | None":
        """The first call without tags, or what may become one at the text's end."""
        if not self._untagged or self.calls >= self._most:
            return None
        if not self._format.tag and self._format.keyed is not None:
            return self._find_own(text)
        for gap in (_LINE if self._index < 0 else _BETWEEN).finditer(text):
            if gap.start() == 0 and not self._starts_line and "\n" not in gap[0]:
                continue
            match = _UNTAGGED.match(text, gap.end())
            if match and match["name"] in self._untagged:
                return _Untagged(gap.start(), match.end(), match["name"])
            if match is None and _MAY_BE_UNTAGGED.fullmatch(text, gap.end()):
                return _Untagged(gap.start(), len(text), "")
        return None

    def _find_own(self, text: str) -> "_Untagged | None":
        """A call in a format without a tag, which only the beginning of an answer tells from text."""
        if not self._is_empty:
            return None
        match = self._patterns.name.match(text)
        if match and match["name"] in self._untagged:
            return _Untagged(0, match.end(), match["name"], is_own=True)
        may_come = match is None and self._patterns.may_be_name.fullmatch(text)
        return _Untagged(0, len(text), "") if may_come else None

    def _as_content(self, text: str) -> Iterator[Event]:
        if text:
            self._starts_line, self._is_empty = text.endswith("\n"), False
            if self._index < 0:
                yield Content(text)

    def _begin(self, name: str, *, is_tagged: bool) -> CallStart:
        self._state, self._is_tagged, self._is_empty = _State.ARGUMENTS, is_tagged, False
        self._index += 1
        keyed = self._format.keyed if is_tagged else None
        self._value = _JsonReader() if keyed is None else _KeyedReader(keyed, self._functions.get(name, {}))
        return CallStart(self._index, name)

    def _read_name(self) -> Iterator[Event]:
        match = self._name.match(self._held)
        name = None if match is None else self._written_name(match["name"])
        if match is not None and name is not None:
            self._held = self._held[match.end() :]
            yield self._begin(name, is_tagged=True)
        elif match is not None or not self._may_be_name.fullmatch(self._held):
            # The text spells the tag without a call.
            self._state = _State.CONTENT
            yield from self._as_content(self._opening)

    def _written_name(self, written: str) -> str | None:
        """None for what is no name, such as JSON with a wrong escape."""
        if not self._format.before.endswith('"'):
            return written
        with suppress(ValueError):
            return str(json.loads(f'"{written}"', strict=False))
        return None

    def _read_arguments(self) -> Iterator[Event]:
        text, self._held = self._value.take(self._held)
        if self._value.found:
            self._state = _State.AFTER
        if text:
            yield CallArguments(self._index, text)

    def _read_after(self) -> Iterator[Event]:
        yield from ()
        if not self._is_tagged:
            _, closing, rest = self._held.partition("}")
            if closing:
                self._to_content(rest)
            return
        patterns, held = self._patterns, self._held
        if match := patterns.between.match(held):
            self._held, self._state, self._opening = held[match.end() :], _State.NAME, ""
            self._name, self._may_be_name = patterns.next_name, patterns.may_be_next_name
        elif patterns.may_be_between.fullmatch(held):
            return
        elif match := patterns.after.match(held):
            self._to_content(held[match.end() :])
        elif not patterns.may_be_after.fullmatch(held):
            self._to_content(held)

    def _to_content(self, held: str) -> None:
        self._held, self._state, self._starts_line = held, _State.CONTENT, True


class _JsonReader:
    """Finds the end of a JSON object or array in text that arrives in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.found = False

    def take(self, text: str) -> tuple[str, str]:
        """The part of `text` that belongs to the value, and the rest. Sets `found` once the value is complete."""
        for position, character in enumerate(text):
            if self._in_string:
                self._read_string(character)
            else:
                self._read(character)
            if self.found:
                return text[: position + 1], text[position + 1 :]
        return text, ""

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


class _KeyedReader:
    """Turns keys and values that arrive in pieces into a JSON object. An argument is passed on when it is complete."""

    def __init__(self, notation: KeyedArguments, parameters: Schema) -> None:
        self._notation = notation
        self._key, self._may_be_key = _key_patterns(notation)
        properties = parameters.get("properties")
        self._properties: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
        self._count = 0
        self._scan: _LiteralScan | None = None
        self.found = False

    def take(self, text: str) -> tuple[str, str]:
        """JSON of the arguments that are complete, and the text that is left. Sets `found` after the last of them."""
        pieces: list[str] = []
        while True:
            match = self._key.match(text)
            if match is None:
                break
            value, end = self._value(text, match.end(), match["key"])
            if end < 0:
                return "".join(pieces), text
            pieces.append(f"{', ' if self._count else '{'}{_dumped(match['key'])}: {value}")
            self._count += 1
            text = text[end:]
        if not self._may_be_key.fullmatch(text):
            self.found = True
            pieces.append("}" if self._count else "{}")
        return "".join(pieces), text

    def _value(self, text: str, begin: int, key: str) -> tuple[str, int]:
        """A value as JSON and where it ends; -1 where it has not ended yet."""
        notation = self._notation
        if notation.literals == "json" and not notation.quote:
            closing = notation.closing.strip()
            end = text.find(closing, begin)
            if end < 0:
                return "", -1
            written = text[begin:end].removesuffix("\n" if notation.closing.startswith("\n") else "")
            return self._as_json(written, key), end + len(closing)
        if self._scan is None:
            self._scan = _LiteralScan(begin, notation.quote if notation.literals == "json" else "")
        end = self._scan.end(text)
        if end < 0:
            return "", -1
        self._scan = None
        return self._as_json(text[begin:end].strip(), key), end

    def _as_json(self, written: str, key: str) -> str:
        quote = self._notation.quote
        if self._notation.literals == "json" and not quote:
            return _text_or_literal(written, _types(self._properties.get(key)))
        if quote not in ("", '"') and written.startswith(quote):
            return _dumped(written.removeprefix(quote).removesuffix(quote))
        with suppress(ValueError, RecursionError):
            return _dumped(json.loads(written))
        with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return _dumped(ast.literal_eval(_PYTHON.get(written) or _escaped(written)))
        return _dumped(written[1:-1] if _STRING.fullmatch(written) else written)


_PYTHON = {"true": "True", "false": "False", "null": "None"}


def _escaped(written: str) -> str:
    """A string's line ends as Python wants them."""
    return written.replace("\n", "\\n").replace("\r", "\\r") if _STRING.fullmatch(written) else written


def _text_or_literal(written: str, types: Collection[str]) -> str:
    """Text in a notation without quotes is text where nothing else fits; `types` are JSON Schema's, none for any."""
    if set(types) == {"string"}:
        return _dumped(written)
    with suppress(ValueError, RecursionError):
        value = json.loads(_JSON_LITERALS.get(written, written))
        if not types or "string" not in types or _type_of(value) & set(types):
            return _dumped(value)
    return _dumped(written)


_JSON_LITERALS = {"True": "true", "False": "false", "None": "null"}


def _type_of(value: object) -> set[str]:
    """JSON Schema's names for the value's type."""
    if isinstance(value, bool) or value is None:
        return {"null" if value is None else "boolean"}
    if isinstance(value, int | float):
        return {"number", "integer"} if isinstance(value, int) or value.is_integer() else {"number"}
    return {"string" if isinstance(value, str) else "object" if isinstance(value, dict) else "array"}


def _types(schema: object) -> set[str]:
    """The types that a value may have, as far as the schema says; none where it does not."""
    if not isinstance(schema, Mapping):
        return set()
    options = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(options, list):
        return {name for option in options for name in _type_of(option)}
    if isinstance(schema.get("type"), str | list):
        return {schema["type"]} if isinstance(schema["type"], str) else {str(each) for each in schema["type"]}
    parts = schema.get("anyOf") or schema.get("oneOf")
    found = [_types(part) for part in parts] if isinstance(parts, list) else []
    return set().union(*found) if all(found) else set()


def _dumped(value: object) -> str:
    """JSON that can be sent: an unpaired surrogate is escaped. Infinity and what JSON lacks are errors."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False)
    return text


class _LiteralScan:
    """Finds where a literal ends: at a comma or a closing bracket outside of it. Goes on where it stopped.

    Texts stand between `quote`s or quotation marks, in Python also between apostrophes; only the latter two have
    escapes.
    """

    def __init__(self, begin: int, quote: str) -> None:
        self._position = begin
        self._quote = quote
        self._marks = '"' if quote else "'\""
        self._depth = 0
        self._open = ""  # what ends the text that the scan is in

    def end(self, text: str) -> int:
        """-1 where it has not come. `text` is the same as before, or longer."""
        while self._position < len(text):
            rest = text[self._position : self._position + max(2, len(self._quote))]
            if len(rest) < len(self._quote) and self._quote.startswith(rest):
                return -1
            if self._open:
                if not self._leave(text):
                    return -1
                continue
            if self._quote and rest.startswith(self._quote):
                self._open, self._position = self._quote, self._position + len(self._quote)
                continue
            if rest[0] in self._marks:
                self._open = rest[0]
            elif not self._depth and rest[0] in ",)]}":
                return self._position
            else:
                self._depth += (rest[0] in "([{") - (rest[0] in ")]}")
            self._position += 1
        return -1

    def _leave(self, text: str) -> bool:
        """Goes on to the end of a text, or as far as it has come."""
        if self._open == self._quote:
            at = text.find(self._open, self._position)
            self._position = max(self._position, len(text) - len(self._open) + 1) if at < 0 else at + len(self._open)
            self._open = self._open if at < 0 else ""
            return at >= 0
        match = _TO_MARK[self._open].match(text, self._position)
        self._position = match.end() if match else self._position
        if self._position >= len(text) or text[self._position] == "\\":
            return False  # the other half of an escape has not come
        self._position, self._open = self._position + 1, ""
        return True


_TO_MARK = {mark: re.compile(rf"(?:[^{mark}\\]|\\.)*+", re.DOTALL) for mark in "'\""}
_STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patterns:
    """One format as regular expressions. White space may be written in other ways than the template does."""

    name: re.Pattern[str]
    may_be_name: re.Pattern[str]
    next_name: re.Pattern[str]
    may_be_next_name: re.Pattern[str]
    between: re.Pattern[str]
    may_be_between: re.Pattern[str]
    after: re.Pattern[str]
    may_be_after: re.Pattern[str]


_SPACE = r"\s*+"  # possessive: a model that writes nothing but white space must not cost quadratic time
_BARE_NAME = r"(?P<name>[^\s\"<>(){}\[\],:=]{1,128}+)"
_JSON_NAME = r'(?P<name>(?:[^"\\]|\\.){0,512}+)'
_MORE_KEYS = r"(?:,[^{}]{0,256})?"
"""Other keys of a call's object after its arguments, such as an id."""


@lru_cache(64)
def _patterns(before: str, middle: str, between: str, after: str, tag: str) -> _Patterns:
    name = (_JSON_NAME,) if before.endswith('"') else (_SPACE, _BARE_NAME)
    rest = (*name, *_lenient(middle), _SPACE, r"(?=\S)")
    opened = (_SPACE, *_lenient(before.removeprefix(tag)), *rest)
    more = (_SPACE, _MORE_KEYS, _SPACE) if after.startswith("}") else (_SPACE,)
    return _Patterns(
        name=_joined(opened),
        may_be_name=re.compile(_beginnings(opened)),
        next_name=_joined(rest),
        may_be_next_name=re.compile(_beginnings(rest)),
        between=_joined((*more, *_lenient(between))) if between else _NEVER,
        may_be_between=re.compile(_beginnings((*more, *_lenient(between)))) if between else _NEVER,
        after=_joined((*more, *_lenient(after))),
        may_be_after=re.compile(_beginnings((*more, *_lenient(after)))),
    )


@lru_cache(64)
def _key_patterns(notation: KeyedArguments) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A separator, a key and what follows it; and what that may begin with."""
    separator = [f"(?:{''.join(_lenient(notation.separator))})?"] if notation.separator else []
    is_text = notation.literals == "json" and not notation.quote
    # White space at the beginning of a text belongs to it, but for what the format writes itself.
    middle = notation.middle.rstrip("\n") if is_text else notation.middle
    line = [r"\n?", r"(?=.)"] if middle != notation.middle else [] if is_text else [_SPACE]
    key = _BARE_NAME.replace("name", "key")
    atoms = (
        _SPACE,
        *separator,
        _SPACE,
        *_lenient(notation.opening),
        _SPACE,
        key,
        *_lenient(middle, around=False),
        *line,
    )
    return re.compile("".join(atoms), re.DOTALL), re.compile(_beginnings(atoms), re.DOTALL)


def _lenient(literal: str, *, around: bool = True) -> list[str]:
    """The literal as atoms of a pattern: any white space, braces that may be doubled, both names of the arguments."""
    atoms: list[str] = []
    for piece in _PIECES.findall(literal):
        atom = _SPACE if piece.isspace() else _ATOMS.get(piece) or re.escape(piece)
        spaced = around and piece in _PUNCTUATION
        for each in (_SPACE, atom, _SPACE) if spaced else (atom,):
            if each != _SPACE or atoms[-1:] != [_SPACE]:
                atoms.append(each)
    return atoms


_PIECES = re.compile(r'\s+|"(?:arguments|parameters)"|\}+|.', re.DOTALL)
_ATOMS = {"{": r"\{\{?", **{"}" * count: r"\}+" for count in range(1, 9)}}
_ATOMS[ANY_ID] = r"[\w-]{1,64}+"
_ARGUMENTS = '"(?:arguments|parameters)"'
_ATOMS |= dict.fromkeys(('"arguments"', '"parameters"'), _ARGUMENTS)
_PUNCTUATION = frozenset(("{", "[", "]", ":", ",", *("}" * count for count in range(1, 9))))
_PARTS = {_ARGUMENTS: ('"', "[a-z]{0,10}", '"'), _JSON_NAME: (_JSON_NAME, r"\\?")}
"""Atoms of which a part may have come: half a word, half an escape."""
_NEVER = re.compile(r"(?!)")


def _joined(atoms: Iterable[str]) -> re.Pattern[str]:
    return re.compile("".join(atoms))


def _beginnings(atoms: Iterable[str]) -> str:
    """A pattern of what the sequence of atoms may begin with, from nothing to all of it."""
    parts = [part for atom in atoms for part in _PARTS.get(atom, (atom,))]
    return reduce(lambda rest, part: f"(?:{part}{rest})?", reversed(parts), "")


def _split_before(text: str, tag: str) -> tuple[str, str]:
    """`text` cut where it may be starting the tag, with the white space before it."""
    lengths = (n for n in range(len(tag) - 1, 0, -1) if text.endswith(tag[:n]))
    return _split(text, len(text) - next(lengths, 0))


def _split(text: str, end: int) -> tuple[str, str]:
    """`text` cut there, with the white space before in the second part."""
    prefix = text[:end].rstrip()
    return prefix, text[len(prefix) :]


@dataclass(frozen=True, slots=True)
class _Untagged:
    """A call without a tag, from `begin`; its arguments begin at `end`. Without a name it is one that may come.

    `is_own`: in the model's own format, which has no tag.
    """

    begin: int
    end: int
    name: str
    is_own: bool = False


_LINE = re.compile(r"(?:\A|\n)\s*")
"""Where a line begins, with the white space up to its first character."""
_BETWEEN = re.compile(r"(?:\A|\n)[\s,\]]*")
"""The same between calls, which may be elements of an array."""
_FENCE = ("`", "`", "`", "[a-z_]{0,32}", r"\s*")
_ARRAY = (r"\[", r"\s*")
_HEAD = (r"\{\{?", r"\s*", *'"name"', r"\s*", ":", r"\s*", '"', r'[^"\\]{0,128}', '"', r"\s*", ",", r"\s*")
_KEYS = ('"arguments"', '"parameters"')
_TYPE = (*'"type"', r"\s*", ":", r"\s*", *'"function"', r"\s*", ",", r"\s*")
"""Llama 3 often writes a function's type before its name."""
_UNTAGGED = re.compile(
    r'(?:```[a-z_]{0,32}\s*)?(?:\[\s*)?\{\{?\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"(?P<name>[^"\\]{0,128})"\s*,'
    r'\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
_MAY_BE_UNTAGGED = re.compile(
    "|".join(
        _beginnings((*fence, *array, *_HEAD[:2], *type_, *_HEAD[2:], *key, r"\s*", ":", r"\s*"))
        for fence, array, type_, key in product(((), _FENCE), ((), _ARRAY), ((), _TYPE), _KEYS)
    )
)
