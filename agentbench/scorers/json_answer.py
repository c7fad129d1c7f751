"""The `json_schema` and `json_equal` scorers: the final text must be JSON that fits a schema, or equals an expected
value.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from pydantic import BaseModel, ConfigDict, Field, field_validator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import Trace
from agentbench.scorers.expected import cut_middle, expected_of, is_close

NOWHERE = "a $ref to nothing"
META_SCHEMAS = ("https://json-schema.org/", "http://json-schema.org/")
"""Schemas of schemas, which the validators have with them."""


class JsonSchemaConfig(BaseModel):
    """Options of the `json_schema` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # A field named `schema` would hide a method of pydantic's.
    wanted: Mapping[str, Any] | None = Field(
        None, alias="schema", description="The JSON Schema; `expected`, or its `schema`, by default."
    )

    @field_validator("wanted")
    @classmethod
    def _is_a_schema(cls, value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        try:
            _validator(value or {})
        except SchemaError as error:
            raise ValueError(f"not a JSON Schema: {error.json_path}: {error.message}") from None
        except Unresolvable as error:
            raise ValueError(f"a JSON Schema with {NOWHERE}: {error}") from None
        return value


class JsonSchemaScorer:
    """Passes when the final text is JSON that the schema accepts; the reason gives the most relevant error.

    A schema names its own draft (`$schema`), 2020-12 by default. A `$ref` is resolved inside the schema only.
    """

    Config = JsonSchemaConfig
    name: str = "json_schema"

    def __init__(self, config: JsonSchemaConfig) -> None:
        self._validator = None if config.wanted is None else _validator(config.wanted)

    def check(self, case: Case) -> None:
        if self._validator is None:
            self._expected(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        validator = self._validator or self._expected(case)
        reason = _mistake(case, validator, trace.answer)
        return Score(name=self.name, value=float(reason is None), passed=reason is None, reason=reason or "valid")

    def _expected(self, case: Case) -> Validator:
        schema = expected_of(case, self.name, "schema")
        if not isinstance(schema, Mapping):
            raise UserError(
                f"case {case.id!r} has no JSON Schema in expected; json_schema needs one there or in its option schema"
            )
        try:
            return _validator_of(json.dumps(schema))
        except SchemaError as error:
            at = f"{error.json_path}: {error.message}"
            raise UserError(f"case {case.id!r}: expected is not a JSON Schema: {at}") from None
        except Unresolvable as error:
            raise UserError(f"case {case.id!r}: the JSON Schema has {NOWHERE}: {error}") from None


def _validator(schema: Mapping[str, Any]) -> Validator:
    chosen = validator_for(schema, default=Draft202012Validator)
    chosen.check_schema(dict(schema))
    specification = specification_with(str(chosen.META_SCHEMA["$schema"]))
    resource = specification.create_resource(dict(schema))
    _look_up(resource, Registry[Any]().resolver_with_root(resource))
    # An empty registry: nothing is fetched from the network.
    return chosen(schema, registry=Registry())


def _look_up(resource: Resource[Any], resolver: Any) -> None:
    """Resolves every `$ref`; `Unresolvable` for a broken one, which grading might never reach."""
    reference = resource.contents.get("$ref") if isinstance(resource.contents, Mapping) else None
    if isinstance(reference, str) and not reference.startswith(META_SCHEMAS):
        resolver.lookup(reference)
    for inner in resource.subresources():
        _look_up(inner, resolver.in_subresource(inner))


@lru_cache(maxsize=1024)
def _validator_of(schema: str) -> Validator:
    """A cached validator: checking a schema takes about a millisecond, and cases often share one."""
    return _validator(json.loads(schema))


def _mistake(case: Case, validator: Validator, output: str) -> str | None:
    """Why the text is not accepted, or None."""
    try:
        value = json.loads(output, parse_constant=refused_constant)
        error = best_match(validator.iter_errors(value))
    except Unresolvable as unresolvable:
        raise UserError(f"case {case.id!r}: the JSON Schema has {NOWHERE}: {unresolvable}") from None
    # An integer of more than 4300 digits raises ValueError too, here or in a message.
    except (ValueError, RecursionError, OverflowError) as error_in_text:
        return f"the answer is not JSON that can be checked: {error_in_text}"
    return _message(error) if error else None


def _message(error: ValidationError) -> str:
    return cut_middle(f"{error.json_path}: {error.message}", 300, " … ")


def refused_constant(constant: str) -> float:
    """For `json.loads`: rejects NaN and the infinities, which Python reads but JSON does not have."""
    raise ValueError(f"{constant} is no JSON")


class JsonEqualConfig(BaseModel):
    """Options of the `json_equal` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Relative difference at which numbers are still equal."
    )


class JsonEqualScorer:
    """Passes when the final text is JSON and equals `expected`. Key order is ignored, and 1 equals 1.0."""

    Config = JsonEqualConfig
    name: str = "json_equal"

    def __init__(self, config: JsonEqualConfig) -> None:
        self._tolerance = config.tolerance

    def check(self, case: Case) -> None:
        if case.expected is None:
            raise UserError(
                f"case {case.id!r} has no expected value; json_equal needs one (null is written as"
                ' {"json_equal": null})'
            )

    async def score(self, case: Case, trace: Trace) -> Score:
        try:
            value = json.loads(trace.answer, parse_constant=refused_constant)
        # ValueError is also what an integer of more than 4300 digits raises.
        except (ValueError, RecursionError) as error:
            return Score(name=self.name, value=0.0, passed=False, reason=f"the answer is not JSON: {error}")
        reason = self._difference(expected_of(case, self.name, "json_equal"), value, "$")
        return Score(name=self.name, value=float(reason is None), passed=reason is None, reason=reason or "equal")

    def _difference(self, expected: Any, value: Any, path: str) -> str | None:
        """The first difference, as a JSON path and both values; None when they are equal."""
        if isinstance(expected, dict) and isinstance(value, dict):
            if expected.keys() != value.keys():
                missing, extra = (
                    sorted(expected.keys() - value.keys()),
                    sorted(value.keys() - expected.keys()),
                )
                return f"{path}: missing keys {missing}, unexpected keys {extra}"
            pairs = [(expected[key], value[key], f"{path}.{key}") for key in expected]
        elif isinstance(expected, list) and isinstance(value, list):
            if len(expected) != len(value):
                return f"{path}: expected {len(expected)} items, got {len(value)}"
            pairs = [(e, v, f"{path}[{i}]") for i, (e, v) in enumerate(zip(expected, value, strict=True))]
        else:
            return None if self._same(expected, value) else f"{path}: expected {expected!r}, got {value!r}"
        return next((found for e, v, at in pairs if (found := self._difference(e, v, at))), None)

    def _same(self, expected: Any, value: Any) -> bool:
        numbers = isinstance(expected, int | float) and isinstance(value, int | float)
        if not numbers or isinstance(expected, bool) or isinstance(value, bool):
            return type(expected) is type(value) and bool(expected == value)
        return bool(expected == value) or is_close(expected, value, relative=self._tolerance)
