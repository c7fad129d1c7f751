"""How tools are described to a model that is told of them in its prompt."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from agentbench.case import ToolSpec

ToolFormat = Literal["json", "signature"]


def describe(specs: tuple[ToolSpec, ...], style: ToolFormat) -> str:
    """One tool a line (json), or a signature with its parameters below it."""
    return "\n".join(_as_json(spec) if style == "json" else _as_signature(spec) for spec in specs)


def _as_json(spec: ToolSpec) -> str:
    return json.dumps(
        {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
        ensure_ascii=False,
    )


def _as_signature(spec: ToolSpec) -> str:
    properties: Mapping[str, Any] = spec.parameters.get("properties", {})
    required = set(spec.parameters.get("required", ()))
    names = ", ".join(name if name in required else f"{name}=None" for name in properties)
    lines = [f"{spec.name}({names}): {spec.description}"]
    lines += [f"  {name} ({_type(schema)}): {schema.get('description', '')}" for name, schema in properties.items()]
    return "\n".join(lines)


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    return str(schema.get("type", "any"))
