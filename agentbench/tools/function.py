"""A Python function as a tool: type hints give the schema and validate the arguments."""

import inspect
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError

from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import UserError
from agentbench.core.threads import in_thread

Function = Callable[..., Any]


class _NoTitles(GenerateJsonSchema):
    """JSON Schema without the titles that pydantic derives from names, since they tell a model nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class ArgumentError(ValueError):
    """The arguments do not fit the function; the message is for the model."""


class FunctionTool:
    """A source of one tool, the same in every attempt. A coroutine function runs on the event loop, a plain one in a
    thread.

    The description is the docstring's first paragraph. A parameter's description is its line in the docstring's "Args:"
    section or in `Annotated[…, Field(description=…)]`. `UserError` when the function can't be a tool.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        name = getattr(function, "__name__", "")
        if not name:
            raise UserError(f"tool {function!r} has no name; give a function")
        self._model = _arguments_model(name, function)
        documentation = inspect.getdoc(function) or ""
        self.spec = ToolSpec(
            name=name,
            description=" ".join(documentation.split("\n\n")[0].split()),
            parameters=_schema(name, self._model),
        )

    @asynccontextmanager
    async def session(self, case: Case) -> AsyncIterator["FunctionTool"]:
        yield self

    @property
    def names(self) -> tuple[str, ...]:
        return (self.spec.name,)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return (self.spec,)

    async def state(self) -> None:
        return None

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result as text (JSON unless it is a string). Raises `ArgumentError` or the function's own exception."""
        checked = self._checked(arguments)
        if inspect.iscoroutinefunction(self._function):
            return _as_text(await self._function(**checked))
        return _as_text(await in_thread(partial(self._function, **checked)))

    async def converted(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            model = self._model.model_validate(dict(arguments))
            ran = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
        # The call itself reports invalid arguments; values that JSON can't express are shown as written.
        except (ValidationError, PydanticSerializationError):
            return arguments
        return {key: _as_ran(value, ran.get(key, value)) for key, value in arguments.items()}

    def _checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            model = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            findings = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise ArgumentError("; ".join(findings)) from None
        fields = type(model).model_fields
        return {str(fields[name].alias): getattr(model, name) for name in model.model_fields_set}


def _as_ran(written: Any, ran: Any) -> Any:
    """The value as it was written, but with the JSON type that the function received."""
    if isinstance(written, dict) and isinstance(ran, dict):
        return {key: _as_ran(value, ran.get(key, value)) for key, value in written.items()}
    if isinstance(written, list) and isinstance(ran, list) and len(written) == len(ran):
        return [_as_ran(*pair) for pair in zip(written, ran, strict=True)]
    return written if _json_type(written) == _json_type(ran) else ran


def _json_type(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _arguments_model(name: str, function: Function) -> type[BaseModel]:
    """A model with numbered fields whose aliases are the parameters' names, since pydantic reserves some names."""
    hints = _hints(name, function)
    described = _described_arguments(inspect.getdoc(function) or "")
    fields: dict[str, Any] = {}
    for number, (key, parameter) in enumerate(inspect.signature(function).parameters.items()):
        if key not in hints or parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UserError(f"tool {name!r}: parameter {key!r} needs a type hint and a name of its own")
        default: Any = ... if parameter.default is parameter.empty else parameter.default
        description: dict[str, Any] = {"description": described[key]} if key in described else {}
        fields[f"p{number}"] = (hints[key], Field(default, alias=key, **description))
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except PydanticUserError as error:
        raise _not_a_schema(name, error) from None


def _hints(name: str, function: Function) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise UserError(f"tool {name!r}: its type hints can't be resolved: {error}") from None


def _schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    try:
        schema = model.model_json_schema(schema_generator=_NoTitles)
    except PydanticUserError as error:
        raise _not_a_schema(name, error) from None
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return schema


def _not_a_schema(name: str, error: PydanticUserError) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(
        f"tool {name!r}: a type hint has no JSON Schema: {reason}. Use str, int, float, bool, list or dict."
    )


def _described_arguments(documentation: str) -> dict[str, str]:
    """Each parameter's description in a docstring's Args: section (Google style)."""
    _, found, section = documentation.partition("Args:\n")
    if not found:
        return {}
    described: dict[str, str] = {}
    for line in section.splitlines():
        if match := re.match(r"\s+(\w+)(?:\s*\([^)]*\))?:\s*(.+)", line):
            described[match[1]] = match[2].strip()
        elif line and not line.startswith(" "):
            break
    return described


def _as_text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
