"""Scorer of a final text that must be JSON of a certain shape."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import SchemaError
from jsonschema.validators import validator_for
from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.expected import expected_of
from agentbench.trace import Trace


class JsonSchemaConfig(BaseModel):
    """Options of the `json_schema` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: Mapping[str, Any] | None = Field(None, alias="schema", description="The schema; the case's by default.")


class JsonSchemaScorer:
    """Passes when the final text is JSON that is valid against `schema`, or the case's `expected["schema"]`."""

    Config = JsonSchemaConfig
    name = "json_schema"

    def __init__(self, config: JsonSchemaConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        reason = _mismatch(trace.output, self._schema(case))
        return Score(name=self.name, value=float(reason is None), passed=reason is None, reason=reason or "valid")

    def _schema(self, case: Case) -> Mapping[str, Any]:
        schema = self._config.document if self._config.document is not None else expected_of(case, "schema")
        if not isinstance(schema, Mapping):
            raise UserError(f"case {case.id!r}: json_schema needs a schema, as its option or in expected.schema")
        try:
            validator_for(schema).check_schema(dict(schema))
        except SchemaError as error:
            raise UserError(f"case {case.id!r}: its schema is no JSON Schema: {error.message}") from None
        return schema


def _mismatch(text: str, schema: Mapping[str, Any]) -> str | None:
    try:
        value = json.loads(text)
        error = next(iter(validator_for(schema)(schema).iter_errors(value)), None)
    # ValueError is also what an integer of more than 4300 digits raises.
    except (ValueError, RecursionError) as caught:
        return f"not valid JSON: {caught}"
    if error is None:
        return None
    place = "/".join(str(part) for part in error.absolute_path)
    return f"at {place or 'the top'}: {error.message[:300]}"
