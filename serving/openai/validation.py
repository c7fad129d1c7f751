"""From a request's bytes to its validated body, read strictly, with errors that name the parameter."""

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
# OpenAI's and vLLM's parameters that would change the answer, and the value at which they do not.
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "function_call": (),
    "functions": ([],),
    "modalities": (["text"],),
    "reasoning_effort": (),
    "suffix": ("",),
    "verbosity": (),
    "web_search_options": (),
}
# They say who asks, what for, or how to be billed: nothing here depends on them.
IGNORED = frozenset(
    ("metadata", "prediction", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user")
)
MAX_DEPTH = 128
MAX_CONTAINERS = 200_000  # a million small lists take Python seconds, in which nothing else runs
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes, model: type[Body]) -> Body:
    """The validated body. Raises `ApiError` (400) for malformed JSON, a wrong type, an unknown or
    unsupported parameter."""
    body = parse_object(raw)
    _refuse_unsupported(body)
    supported = {key: value for key, value in body.items() if key not in NEUTRAL and key not in IGNORED}
    try:
        return model.model_validate(supported)
    except ValidationError as error:
        raise _api_error(error.errors()[0], supported, model) from None


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    for key, neutral in NEUTRAL.items():
        value = body.get(key)
        if value is None or value in neutral:
            continue
        only = f" (only {json.dumps(neutral[0])} is)" if neutral else ""
        message = f"{key}={json.dumps(value)[:80]} is not supported by this server{only}. Leave {key} out."
        raise ApiError(message, param=key, code="unsupported_parameter")


def _api_error(detail: ErrorDetails, body: object, model: type[BaseModel]) -> ApiError:
    path = _path(detail["loc"], body)
    param = _dotted(path)
    if detail["type"] == "extra_forbidden":
        known = model.model_fields if len(path) == 1 else ()
        return ApiError(_unknown(param, known), param=param, code="unknown_parameter")
    if detail["type"] == "missing":
        return ApiError(f"Missing required parameter: {param}.", param=param, code="missing_parameter")
    message = f"{param}: {_got(detail)}"
    return ApiError(message, param=param, code="invalid_value")


def _unknown(param: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = difflib.get_close_matches(param, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown parameter: {param!r}.{hint}"


def _got(detail: ErrorDetails) -> str:
    """ "Input should be greater than 0, got -1": the reason, then the value it is about."""
    reason = detail["msg"].removeprefix("Value error, ")[:300]
    if detail["type"] == "value_error":
        return f"{reason}."
    return f"{reason}, got {json.dumps(detail['input'], default=str)[:80]}."


def _path(location: Sequence[int | str], body: object) -> list[int | str]:
    """The keys of `location` that are in the body: pydantic also puts names of union members there."""
    path: list[int | str] = []
    for position, key in enumerate(location):
        inner = _inner(body, key)
        if inner is not None:
            [body] = inner
        elif position + 1 < len(location) or not isinstance(body, dict):
            continue
        path.append(key)
    return path


def _inner(body: object, key: int | str) -> list[object] | None:
    """What `body` holds under `key`, in a list of one; None where it holds nothing."""
    if isinstance(body, dict) and key in body:
        return [body[key]]
    if isinstance(body, list) and isinstance(key, int) and key < len(body):
        return [body[key]]
    return None


def _dotted(path: Sequence[int | str]) -> str:
    parts = (f"[{key}]" if isinstance(key, int) else f".{key[:80]}" for key in path)
    return "".join(parts).removeprefix(".")


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
