"""The pulled wheel's JSON lines: rows of a category, and the documents of functions."""

import json
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from agentbench.bfcl.schema import json_schema
from agentbench.case import ToolSpec
from agentbench.errors import UserError

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
    """The lines of a file under bfcl_eval/data."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            text = archive.read(f"bfcl_eval/data/{member}").decode()
    except KeyError:
        raise UserError(f"{wheel} has no {member}; remove the file and run: agentbench pull bfcl") from None
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def tool_spec(document: Row) -> ToolSpec:
    """A function's document as a tool."""
    parameters = json_schema(document["parameters"])
    parameters.setdefault("type", "object")
    parameters.setdefault("properties", {})
    return ToolSpec(name=document["name"], description=document.get("description", ""), parameters=parameters)


@cache
def toolkit_specs(wheel: Path, class_name: str) -> tuple[ToolSpec, ...]:
    """The functions of a multi-turn toolkit."""
    return tuple(map(tool_spec, read_rows(wheel, f"multi_turn_func_doc/{DOCUMENTS[class_name]}.json")))
