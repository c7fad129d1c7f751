"""Parses and validates a request's body. Its errors name the parameter."""

import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serving.openai.error import ApiError

Body = TypeVar("Body", bound=BaseModel)
# Parameters of OpenAI and vLLM that are not supported, with the values that do not change the answer.
NEUTRAL_VALUES: Mapping[str, tuple[object, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "function_call": (),
    "functions": ([],),
    "modalities": (["text"],),
    "suffix": ("",),
    "verbosity": (),
    "web_search_options": (),
}
# Parameters about the user, the purpose or the billing of a request. They don't change the answer.
IGNORED_PARAMETERS = frozenset(
    ("metadata", "prediction", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user")
)
MAX_DEPTH = 128
MAX_CONTAINERS = 200_000  # parsing a million small lists blocks all other requests for seconds
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes, model: type[Body]) -> Body:
    """The validated body. Raises `ApiError` (400) for invalid JSON and for invalid or unsupported parameters."""
    body = parse_object(raw)
    _refuse_unsupported(body)
    supported = {
        key: value for key, value in body.items() if key not in NEUTRAL_VALUES and key not in IGNORED_PARAMETERS
    }
    try:
        return model.model_validate(supported)
    except ValidationError as error:
        raise _api_error(error.errors()[0], supported, model) from None


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    for key, neutral in NEUTRAL_VALUES.items():
        value = body.get(key)
        if value is None or any(
            value == each and isinstance(value, bool) == isinstance(each, bool) for each in neutral
        ):
            continue
        only = f" (only {json.dumps(neutral[0])} is)" if neutral else ""
        message = f"{key}={json.dumps(value)[:80]} is not supported by this server{only}. Leave {key} out."
        raise ApiError(message, param=key, code="unsupported_parameter")


def _api_error(detail: ErrorDetails, body: object, model: type[BaseModel]) -> ApiError:
    path = _path(detail["loc"], body)
    param = _format_path(path)
    if detail["type"] == "extra_forbidden":
        names = model.model_fields if len(path) == 1 else ()
        return ApiError(_unknown_parameter(param, names), param=param, code="unknown_parameter")
    if detail["type"] == "missing":
        return ApiError(f"Missing required parameter: {param}.", param=param, code="missing_parameter")
    message = f"{param}: {_invalid_value(detail)}"
    return ApiError(message, param=param, code="invalid_value")


def _unknown_parameter(param: str, names: Sequence[str] | Mapping[str, object]) -> str:
    matches = difflib.get_close_matches(param, names, n=1, cutoff=0.5)
    hint = f" Did you mean {matches[0]!r}?" if matches else ""
    return f"Unknown parameter: {param!r}.{hint}"


def _invalid_value(detail: ErrorDetails) -> str:
    """The reason and the value: "Input should be greater than 0, got -1."."""
    reason = detail["msg"].removeprefix("Value error, ")[:300]
    if detail["type"] == "value_error":
        return f"{reason}."
    return f"{reason}, got {json.dumps(detail['input'], default=str)[:80]}."


def _path(location: Sequence[int | str], body: object) -> list[int | str]:
    """The keys of `location` that exist in the body. Pydantic also adds the names of union members."""
    path: list[int | str] = []
    for position, key in enumerate(location):
        child = _child(body, key)
        if child is not None:
            [body] = child
        elif position + 1 < len(location) or not isinstance(body, dict):
            continue
        path.append(key)
    return path


def _child(body: object, key: int | str) -> list[object] | None:
    """A list with the value of `body` under `key`; None if there is no such key."""
    if isinstance(body, dict) and key in body:
        return [body[key]]
    if isinstance(body, list) and isinstance(key, int) and key < len(body):
        return [body[key]]
    return None


def _format_path(path: Sequence[int | str]) -> str:
    """The path as in `messages[0].content`."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{key[:80]}" for key in path)
    return "".join(parts).removeprefix(".")


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse a JSON object (RFC 8259) in UTF-8.

    Raises `ApiError` (400), also for NaN, infinities, numbers out of range, duplicate keys, unpaired surrogates,
    nesting deeper than `MAX_DEPTH`, and more than `MAX_CONTAINERS` lists and objects.
    """
    if _count_brackets(raw) > MAX_CONTAINERS and _count_brackets(_STRING.sub(b"", raw)) > MAX_CONTAINERS:
        raise _invalid(f"it has more than {MAX_CONTAINERS} lists and objects")
    try:
        body = json.loads(
            raw.decode(), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_parse_float
        )
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


def _count_brackets(raw: bytes) -> int:
    """The number of opening brackets, those in strings included."""
    return raw.count(b"[") + raw.count(b"{")


def _invalid(reason: str) -> ApiError:
    return ApiError(f"The request's body is not valid JSON: {reason}.", code="invalid_json")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) < len(pairs):
        keys = [key for key, _ in pairs]
        duplicate = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {duplicate[:80]!r} occurs more than once")
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is out of range")
    return value


def _check_depth(body: object) -> None:
    level = [body]
    for _ in range(MAX_DEPTH + 1):
        level = [child for parent in level for child in _children(parent) if isinstance(child, (dict, list))]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def _children(parent: object) -> Any:
    return parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ()
