"""Tool calls that a model wrote as text: found as JSON objects or as Python calls."""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentbench.case import JsonSchema, ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCall:
    """A call as the model wrote it; `arguments` is its JSON object."""

    name: str
    arguments: dict[str, Any]


MOST_CALLS = 8
"""Of one answer that may have several: a model that repeats itself would go on until its tokens are used up."""


def call_schema(specs: tuple[ToolSpec, ...], *, may_answer: bool, several: bool = False) -> JsonSchema:
    """JSON Schema of one call of one of the tools, or also of `{"answer": text}` when `may_answer`.

    With `several` it is a list of calls, which may be empty where there is no other way not to call.
    """
    branches: list[JsonSchema] = [_branch(spec) for spec in specs]
    if several:
        least = 1 if may_answer else 0
        branches = [{"type": "array", "items": _any_of(branches), "minItems": least, "maxItems": MOST_CALLS}]
    if may_answer:
        branches.append(
            {
                "type": "object",
                "properties": {"answer": {"type": "string"}},
                "required": ["answer"],
                "additionalProperties": False,
            }
        )
    return _any_of(branches)


def _any_of(branches: list[JsonSchema]) -> JsonSchema:
    return branches[0] if len(branches) == 1 else {"anyOf": branches}


def _branch(spec: ToolSpec) -> JsonSchema:
    return {
        "type": "object",
        "properties": {"name": {"const": spec.name}, "arguments": _closed(spec.parameters)},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _closed(schema: JsonSchema) -> JsonSchema:
    """The schema with no properties allowed but those it names, all the way down."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: _closed(inner) for name, inner in schema["properties"].items()}
        closed.setdefault("additionalProperties", False)
    if isinstance(schema.get("items"), Mapping):
        closed["items"] = _closed(schema["items"])
    return closed


def find_calls(text: str, names: frozenset[str]) -> list[WrittenCall]:
    """The calls of known tools in free text, in order: JSON objects first, Python calls when there are none."""
    calls = [call for value in _json_objects(text) if (call := _from_json(value, names))]
    return calls or list(_python_calls(text, names))


def _json_objects(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at != -1:
        try:
            value, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


def _from_json(value: Any, names: frozenset[str]) -> WrittenCall | None:
    name = value.get("name")
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(name, str) and name in names and isinstance(arguments, dict):
        return WrittenCall(name=name, arguments=arguments)
    if len(value) == 1:
        [(name, arguments)] = value.items()
        if name in names and isinstance(arguments, dict):
            return WrittenCall(name=name, arguments=arguments)
    return None


def _python_calls(text: str, names: frozenset[str]) -> Iterator[WrittenCall]:
    found: list[tuple[int, WrittenCall]] = []
    for name in names:
        at = text.find(name + "(")
        while at != -1:
            if call := _python_call(text[at:], name):
                found.append((at, call))
            at = text.find(name + "(", at + 1)
    for _, call in sorted(found, key=lambda item: item[0]):
        yield call


def _python_call(text: str, name: str) -> WrittenCall | None:
    """The call that `text` starts with, when it is one with literal keyword arguments."""
    closing = text.find(")")
    while closing != -1:
        try:
            tree = ast.parse(text[: closing + 1], mode="eval").body
            if isinstance(tree, ast.Call) and not tree.args:
                arguments = {kw.arg: ast.literal_eval(kw.value) for kw in tree.keywords if kw.arg}
                json.dumps(arguments)
                return WrittenCall(name=name, arguments=arguments)
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            pass
        closing = text.find(")", closing + 1) if closing < 2000 else -1
    return None
