"""How tools are described to a model that is told of them in its prompt."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from agentbench.case import ToolSpec

ToolFormat = Literal["json", "signature", "required"]
"""`required` is a signature of the required parameters alone."""


def describe(specs: tuple[ToolSpec, ...], style: ToolFormat) -> str:
    """One tool a line (json), or a signature with its parameters below it."""
    if style == "json":
        return "\n".join(_as_json(spec) for spec in specs)
    return "\n".join(_as_signature(spec, all_of_them=style == "signature") for spec in specs)


def _as_json(spec: ToolSpec) -> str:
    return json.dumps(
        {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
        ensure_ascii=False,
    )


def _as_signature(spec: ToolSpec, *, all_of_them: bool) -> str:
    required = set(spec.parameters.get("required", ()))
    given: Mapping[str, Any] = spec.parameters.get("properties", {})
    properties = {name: schema for name, schema in given.items() if all_of_them or name in required}
    names = ", ".join(name if name in required else f"{name}=None" for name in properties)
    lines = [f"{spec.name}({names}): {spec.description}"]
    lines += [f"  {name} ({_type(schema)}): {schema.get('description', '')}" for name, schema in properties.items()]
    return "\n".join(lines)


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    return str(schema.get("type", "any"))
