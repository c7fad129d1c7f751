"""From a request's bytes to its body, with an error that names the parameter at fault."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serving.openai.error import ApiError
from serving.openai.strict_json import parse_object

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
