"""Tools as text, for models whose chat template has no place for them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]
Tool = Mapping[str, Any]

PREAMBLE = """\
You may call one or more of these functions to assist with the user's request:
<tools>
{tools}
</tools>
To call a function, answer with its name and arguments as JSON between tags:
<tool_call>
{{"name": <function-name>, "arguments": <arguments-object>}}
</tool_call>"""


def without_tools(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """The same conversation in system, user and assistant turns of plain text.

    Tools go into the system message, calls into the assistant's text, results into the user's turn.
    """
    turns = [_as_text(message) for message in messages]
    if tools:
        turns = _with_system(turns, preamble(tools))
    return list(_joined_responses(turns))


def preamble(tools: Sequence[Tool]) -> str:
    return PREAMBLE.format(tools="\n".join(_compact(tool["function"]) for tool in tools))


def _as_text(message: Message) -> Message:
    content = message.get("content") or ""
    match message["role"]:
        case "tool":
            response = f"<tool_response>\n{content}\n</tool_response>"
            return {"role": "user", "content": response, "is_response": True}
        case "assistant" if message.get("tool_calls"):
            calls = "\n".join(_call(call["function"]) for call in message["tool_calls"])
            return {"role": "assistant", "content": f"{content}\n{calls}" if content else calls}
        case "developer":
            return {"role": "system", "content": content}
        case role:
            return {"role": role, "content": content}


def _call(function: Mapping[str, str]) -> str:
    """As the model wrote it: the arguments are JSON already."""
    name = _compact(function["name"])
    return f'<tool_call>\n{{"name": {name}, "arguments": {function["arguments"]}}}\n</tool_call>'


def _with_system(turns: list[Message], text: str) -> list[Message]:
    if turns[0]["role"] != "system":
        return [{"role": "system", "content": text}, *turns]
    return [{"role": "system", "content": f"{turns[0]['content']}\n\n{text}"}, *turns[1:]]


def _joined_responses(turns: Sequence[Message]) -> Iterator[Message]:
    """Results of parallel calls share one turn: many templates insist on alternating roles."""
    responses: list[str] = []
    for turn in turns:
        if turn.get("is_response"):
            responses.append(turn["content"])
            continue
        if responses:
            yield {"role": "user", "content": "\n".join(responses)}
            responses = []
        yield turn
    if responses:
        yield {"role": "user", "content": "\n".join(responses)}


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
