"""Turns pydantic's errors into one line for the user: what is wrong, where, and what is valid."""

from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from agentbench.core.errors import UserError, did_you_mean
from agentbench.credentials import SECRET

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]


def validate(
    model: type[Model], data: Mapping[str, Any], where: Callable[[Location], str], prefix: Location = ()
) -> Model:
    """An instance of `model` built from `data`, or a `UserError` for the first mistake.

    `where` turns a key path into a place for the message; `prefix` is the path of `data` itself.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise UserError(_explain(error, model, where, prefix)) from None


def _explain(error: ValidationError, model: type[BaseModel], where: Callable[[Location], str], prefix: Location) -> str:
    findings = error.errors(include_url=False)
    finding = next((each for each in findings if each["type"] == "extra_forbidden"), findings[0])
    location = (*prefix, *finding["loc"])
    dotted = ".".join(str(part) for part in location)
    place = where(location)
    if finding["type"] == "extra_forbidden":
        hint = _suggest(str(location[-1]), _keys(model, finding["loc"][:-1]))
        return f"{place}: unknown key {dotted!r}.{hint}"
    if finding["type"] == "missing":
        return f"{place}: key {dotted!r} is missing."
    message = finding["msg"].removeprefix("Value error, ")
    if finding["type"] == SECRET:
        return f"{place}: {dotted}: {message}"
    return f"{place}: {dotted} = {_quote(finding['input'])}: {message}"


def _quote(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _suggest(key: str, valid: Iterable[str]) -> str:
    keys = sorted(valid)
    return f"{did_you_mean(key, keys, most=2, cutoff=0.6)} Valid keys: {', '.join(keys)}."


def _keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that `model` accepts at `location`."""
    current: type[BaseModel] = model
    for part in location:
        field = current.model_fields.get(str(part)) if isinstance(part, str) else None
        inner = _model_in(field.annotation) if field else None
        current = inner or current
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, list, tuple, dict):
        return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)
    return None
