"""Tool calls in a text: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, as they arrive."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

OPENING = "<tool_call>"
CLOSING = "</tool_call>"
_NAME = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')


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

    However the text is cut into pieces, the joined contents, the names and the joined arguments are the same.
    Text that can't be told yet (`<tool`, half a name) is held back. A call that ends early keeps the
    arguments it has; one that has no name yet is dropped.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = _State.CONTENT
        self._index = -1
        self._value = _JsonEnd()

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
        """Up to the opening tag. White space before a first call, and all between calls, is no content."""
        text, tag, rest = self._held.partition(OPENING)
        if tag:
            self._held, self._state = rest, _State.NAME
            text = text.rstrip()
        else:
            text, self._held = _split_before_tag(text)
        if text and self._index < 0:
            yield Content(text)

    def _name(self) -> Iterator[Event]:
        match = _NAME.match(self._held)
        if match is None or match.end() == len(self._held):
            return  # arguments may still begin with white space
        self._held, self._state = self._held[match.end() :], _State.ARGUMENTS
        self._index, self._value = self._index + 1, _JsonEnd()
        yield CallStart(self._index, json.loads(match[1], strict=False))

    def _arguments(self) -> Iterator[Event]:
        end = self._value.find(self._held)
        text, self._held = self._held[:end], self._held[end:]
        if self._value.found:
            self._state = _State.AFTER
        if text:
            yield CallArguments(self._index, text)

    def _after(self) -> Iterator[Event]:
        _, tag, rest = self._held.partition(CLOSING)
        if tag:
            self._held, self._state = rest, _State.CONTENT
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
    end = len(text) - next(lengths, 0)
    kept = text[:end].rstrip()
    return kept, text[len(kept) :]
