"""Tool calls in plain text: prompts that describe the tools, schemas that constrain an answer to calls, and a parser of
calls.

Calls are found as JSON objects or as Python calls.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentbench.core.case import JsonSchema, ToolSpec

TOOLS = "You are an assistant that answers by calling functions. You can call these functions:\n{tools}\n\n"
ONE = 'To call one, answer with JSON only: {"name": "the function", "arguments": {"parameter": value}}.'
SEVERAL = (
    "To call them, answer with a JSON list only, with as many calls as are needed:"
    ' [{"name": "the function", "arguments": {"parameter": value}}].'
)
NONE = " When no function fits the question, answer with []."
ANSWER = ' When you know the final answer, answer with {"answer": "your answer"}.'
ANSWER_NOW = "Answer the question."
"""Asks a model for its answer after it repeated its calls."""
LISTED = "(listed before the question)"
"""Replaces the tools' descriptions where these come with the question."""


def tool_call_prompt(*, runs_tools: bool, several: bool) -> str:
    """The instructions for writing calls, and for answering when there is nothing to call."""
    prompt = TOOLS + (SEVERAL if several else ONE)
    if runs_tools:
        return prompt + ANSWER
    return prompt + NONE if several else prompt


ToolFormat = Literal["json", "signature", "typed", "required"]
"""`typed` is a signature with the types of arrays' items and of objects' properties, `required` one of the required
parameters alone."""


def describe(specs: tuple[ToolSpec, ...], style: ToolFormat) -> str:
    """The tools as one JSON object a line (json), or as signatures with their parameters below."""
    if style == "json":
        return "\n".join(_as_json(spec) for spec in specs)
    return "\n".join(_as_signature(spec, style) for spec in specs)


def _as_json(spec: ToolSpec) -> str:
    return json.dumps(
        {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
        ensure_ascii=False,
    )


def _as_signature(spec: ToolSpec, style: ToolFormat) -> str:
    required = set(spec.parameters.get("required", ()))
    parameters: Mapping[str, Any] = spec.parameters.get("properties", {})
    properties = {name: schema for name, schema in parameters.items() if style != "required" or name in required}
    names = ", ".join(name if name in required else f"{name}=None" for name in properties)
    lines = [f"{spec.name}({names}): {spec.description}"]
    type_of = _whole_type if style == "typed" else _type
    lines += [f"  {name} ({type_of(schema)}): {schema.get('description', '')}" for name, schema in properties.items()]
    return "\n".join(lines)


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    return str(schema.get("type", "any"))


def _whole_type(schema: Mapping[str, Any]) -> str:
    """The type with those of an array's items and of an object's properties."""
    items, properties = schema.get("items"), schema.get("properties")
    if isinstance(items, Mapping) and items:
        return f"array of {_whole_type(items)}"
    if isinstance(properties, Mapping) and properties:
        return "object of " + ", ".join(f"{name} ({_whole_type(inner)})" for name, inner in properties.items())
    return "float" if schema.get("format") == "float" else _type(schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCall:
    """A call as the model wrote it; `arguments` is its JSON object as text."""

    name: str
    arguments: dict[str, Any]


MOST_CALLS = 8
"""Most calls in one answer: a model that repeats itself would go on until its tokens are used up."""


ANSWER_SCHEMA: JsonSchema = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
"""The final answer, where an answer may also be a call."""


def call_schema(specs: tuple[ToolSpec, ...], *, may_answer: bool, several: bool = False) -> JsonSchema:
    """JSON Schema for a call of one of the tools, or for `{"answer": text}` as well when `may_answer`.

    With `several` it describes a list of calls. The list may be empty unless `may_answer` gives another way to call
    nothing.
    """
    branches: list[JsonSchema] = [_branch(spec) for spec in specs]
    if several:
        least = 1 if may_answer else 0
        branches = [{"type": "array", "items": _any_of(branches), "minItems": least, "maxItems": MOST_CALLS}]
    if may_answer:
        branches.append(ANSWER_SCHEMA)
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
    """The schema with additional properties forbidden at every level."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: _closed(inner) for name, inner in schema["properties"].items()}
        closed.setdefault("additionalProperties", False)
    if isinstance(schema.get("items"), Mapping):
        closed["items"] = _closed(schema["items"])
    return closed


def find_calls(text: str, names: frozenset[str]) -> list[WrittenCall]:
    """The calls of known tools in a text, in order: JSON objects, or Python calls when there are no such objects."""
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
    """The call at the start of `text`, when its arguments are literal keyword arguments."""
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
