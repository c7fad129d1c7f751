"""The arguments of one call as JSON, read from text that arrives in pieces."""

import ast
import json
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from serving.openai.json_schema import Schema
from serving.openai.tools.format import KeyedArguments
from serving.openai.tools.patterns import key_patterns


class JsonReader:
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


class KeyedReader:
    """Turns keys and values that arrive in pieces into a JSON object. An argument is passed on when it is complete."""

    def __init__(self, notation: KeyedArguments, parameters: Schema) -> None:
        self._notation = notation
        self._key, self._may_be_key = key_patterns(notation)
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
