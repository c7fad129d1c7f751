"""Strict JSON: what parsers read differently, or only at great cost, is refused."""

import json
import math
import re
from typing import Any, NoReturn

from serving.openai.error import ApiError

MAX_DEPTH = 128
MAX_CONTAINERS = 200_000  # a million small lists take Python seconds, in which nothing else runs
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_object(raw: bytes) -> dict[str, Any]:
    """The object that `raw` is. Raises `ApiError` (400) for anything but one JSON object (RFC 8259) in UTF-8:
    NaN and infinities, numbers out of range, keys that are there twice, unpaired surrogates, too deep nesting."""
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:
        raise _invalid(f"it has more than {MAX_CONTAINERS} lists and objects")
    try:
        body = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
        _check_depth(body)
        if _SURROGATE.search(raw):
            json.dumps(body, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise _invalid(f"byte {error.start} is not UTF-8") from None
    except UnicodeEncodeError:
        raise _invalid("a string has an unpaired surrogate") from None
    except (ValueError, RecursionError) as error:
        raise _invalid(str(error)) from None
    if not isinstance(body, dict):
        raise ApiError(f"The request's body must be a JSON object, not {type(body).__name__}.", code="invalid_json")
    return body


def _invalid(reason: str) -> ApiError:
    return ApiError(f"The request's body is not valid JSON: {reason}.", code="invalid_json")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is out of range")
    return value


def _check_depth(body: object) -> None:
    level = [body]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _contents(outer) if isinstance(inner, (dict, list))]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def _contents(outer: object) -> Any:
    return outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()
