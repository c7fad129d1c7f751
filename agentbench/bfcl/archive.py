"""Reads the pulled wheel: rows of a category, and function documents as JSON Schema."""

import json
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from agentbench.core.case import ToolSpec
from agentbench.core.errors import UserError

TYPES = {
    "dict": "object",
    "float": "number",
    "tuple": "array",
    "string": "string",
    "integer": "integer",
    "boolean": "boolean",
    "array": "array",
    "object": "object",
    "number": "number",
}
"""BFCL's type names to JSON Schema's. One that is not here ("any") means any value."""

SCHEMA_KEYS = ("description", "enum", "default", "format")


def json_schema(document: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a BFCL type document, nested types included."""
    schema: dict[str, Any] = {}
    if (kind := TYPES.get(str(document.get("type")))) is not None:
        schema["type"] = kind
    if document.get("type") == "float":
        # A list of floats is right with decimal points only, so a model has to be told; the leaderboard tells it too.
        schema["format"] = "float"
    schema |= {key: document[key] for key in SCHEMA_KEYS if key in document and _fits(key, document[key])}
    properties = document.get("properties")
    if isinstance(properties, Mapping):
        schema["properties"] = {name: json_schema(inner) for name, inner in properties.items()}
        required = [name for name in document.get("required") or () if name in properties]
        if required:
            schema["required"] = required
    if isinstance(document.get("items"), Mapping):
        schema["items"] = json_schema(document["items"])
    return schema


def _fits(key: str, value: Any) -> bool:
    """Whether JSON Schema allows the value under `key`; some documents have others."""
    if key in ("description", "format"):
        return isinstance(value, str)
    return key != "enum" or (isinstance(value, list) and bool(value))


Row = Mapping[str, Any]

DOCUMENTS: Mapping[str, str] = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "TwitterAPI": "posting_api",
    "VehicleControlAPI": "vehicle_control",
}
"""A toolkit's class to the name of its document and of its module."""


def read_rows(wheel: Path, member: str) -> list[Row]:
    """The rows of a file under bfcl_eval/data."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            text = archive.read(f"bfcl_eval/data/{member}").decode()
    except KeyError:
        raise UserError(f"{wheel} has no {member}; remove the file and run: agentbench pull bfcl") from None
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def tool_spec(document: Row) -> ToolSpec:
    """A function's document as a ToolSpec."""
    parameters = json_schema(document["parameters"])
    parameters.setdefault("type", "object")
    parameters.setdefault("properties", {})
    return ToolSpec(name=document["name"], description=document.get("description", ""), parameters=parameters)


@cache
def toolkit_specs(wheel: Path, class_name: str) -> tuple[ToolSpec, ...]:
    """The functions of a multi-turn toolkit."""
    return tuple(map(tool_spec, read_rows(wheel, f"multi_turn_func_doc/{DOCUMENTS[class_name]}.json")))
