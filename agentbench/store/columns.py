"""Column types that store any Python string or JSON value and return it unchanged.

A model may write anything: U+0000, which PostgreSQL refuses in text, lone surrogates, which UTF-8 can't encode, or NaN.
An attempt with such a value must not be lost, since it is evidence.
"""

import json
import re
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

ESCAPE = "\ufdd0"
"""Starts an escaped character: a Unicode noncharacter, which ordinary text never contains."""

_UNSTORABLE = re.compile(f"[\x00\ud800-\udfff{ESCAPE}]")
_ESCAPED = re.compile(f"{ESCAPE}([0-9a-f]{{4}})")

BigKey = BigInteger().with_variant(Integer, "sqlite")
"""A generated key: SQLite generates them only for INTEGER."""


def escape(text: str) -> str:
    """`text` with U+0000, lone surrogates and the escape itself as U+FDD0 and four hexadecimal digits."""
    return _UNSTORABLE.sub(lambda found: f"{ESCAPE}{ord(found[0]):04x}", text)


def unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def to_json(value: Any) -> str:
    """`value` as ASCII JSON, in which U+0000 and lone surrogates are escapes.

    NaN and the infinities are written as Python writes them. A value without a JSON form is approximated: a mapping as
    an object, a set as a list, anything else (a date from YAML) as its `str`.
    """
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=_nearest)


def _nearest(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value, key=str)
    return str(value)


class LosslessText(TypeDecorator[str]):
    """Text in which every Python string round-trips; it is readable in SQL except for the escapes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else escape(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else unescape(value)


class Json(TypeDecorator[Any]):
    """A JSON value in a text column; None is JSON's null.

    The column is text because SQLite's JSON type has numeric affinity (it rounds large integers) and PostgreSQL's
    refuses NaN. `json_extract(column, …)` and `column::json` read it in SQL.
    """

    impl = Text
    cache_ok = True
    should_evaluate_none = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime, stored and returned in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "a stored time has a time zone"
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
