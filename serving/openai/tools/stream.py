"""Tool calls in the text of an answer, read as it arrives."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

from serving.openai.json_schema import Schema
from serving.openai.tools.arguments import JsonReader, KeyedReader
from serving.openai.tools.format import HERMES, CallFormat
from serving.openai.tools.grammar import MOST_CALLS
from serving.openai.tools.patterns import BETWEEN, LINE, MAY_BE_UNTAGGED, UNTAGGED, patterns_of


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
        self._patterns = patterns_of(written.before, written.middle, written.between, written.after, written.tag)
        self._functions = functions or {}
        self._held = ""
        self._state = _State.CONTENT
        self._name, self._may_be_name = self._patterns.name, self._patterns.may_be_name
        self._opening = ""
        self._index = -1
        self._value: JsonReader | KeyedReader = JsonReader()
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
        for gap in (LINE if self._index < 0 else BETWEEN).finditer(text):
            if gap.start() == 0 and not self._starts_line and "\n" not in gap[0]:
                continue
            match = UNTAGGED.match(text, gap.end())
            if match and match["name"] in self._untagged:
                return _Untagged(gap.start(), match.end(), match["name"])
            if match is None and MAY_BE_UNTAGGED.fullmatch(text, gap.end()):
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
        self._value = JsonReader() if keyed is None else KeyedReader(keyed, self._functions.get(name, {}))
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
