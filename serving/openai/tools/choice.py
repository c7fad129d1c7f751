"""Which tool calls a request allows, and by what grammar."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from serving.config import ToolCalls
from serving.openai.bodies import ChatBody, NamedToolChoice, Tool
from serving.openai.error import ApiError
from serving.openai.json_schema import Schema
from serving.openai.tools.format import ANY_ID, CallFormat
from serving.openai.tools.grammar import (
    MOST_CALLS,
    CallableFunction,
    arguments_grammar,
    auto_grammar,
    choice_grammar,
    forced_text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """How one request may call tools.

    `forced` is the part of the answer that is the same whatever the model says: what begins a call, and the name and
    what follows it where only one function may be called. It goes to the prompt's end, where it costs no decode step.
    `grammar` is what may follow; None leaves the model free. A call of a function in `untagged` is understood without
    tags; `most` calls are allowed. `only_first`: an answer that does not begin with a call has none.
    `functions` are the parameters of those that are offered.
    """

    forced: tuple[str, str, str] | None
    grammar: str | None
    untagged: frozenset[str] = frozenset()
    most: int = 1
    only_first: bool = False
    functions: Mapping[str, Schema] = field(default_factory=dict)


def calling(body: ChatBody, answer: Schema | None, form: CallFormat, reading: ToolCalls = "auto") -> Calling | None:
    """None where no tool may be called. `answer` is the schema of an answer without a call.

    Required and named are exactly one call; auto is a text, or up to `MOST_CALLS` calls.
    """
    choice = body.tool_choice or "auto"
    functions = [_function(tool) for tool in body.tools or ()]
    _check(choice, functions)
    if not functions or choice == "none":
        return None
    if reading == "off":
        if choice != "auto":
            raise ApiError("tool_choice: this server reads no calls (tool_calls=off).", param="tool_choice")
        return None
    parameters = {function.name: function.parameters or {} for function in functions}
    if choice == "auto":
        most = 1 if body.parallel_tool_calls is False or not form.between else MOST_CALLS
        # An answer that must fit a schema is JSON itself. Calls in a format without a tag are read like untagged ones.
        is_read = not form.tag or (reading == "auto" and answer is None)
        return Calling(
            forced=None,
            grammar=auto_grammar(functions, answer, most, form) if form.tag or answer is not None else None,
            untagged=frozenset(parameters if is_read else ()),
            most=most,
            only_first=answer is not None,
            functions=parameters,
        )
    if isinstance(choice, NamedToolChoice):
        functions = [function for function in functions if function.name == choice.function.name]
    forced, grammar = _one_of(functions, form)
    untagged = frozenset(() if form.tag else parameters)
    return Calling(forced=forced, grammar=grammar, untagged=untagged, functions=parameters)


def _one_of(functions: Sequence[CallableFunction], form: CallFormat) -> tuple[tuple[str, str, str], str]:
    if len(functions) > 1:
        return (forced_text(form.before), "", ""), choice_grammar(functions, form)
    [function] = functions
    name = json.dumps(function.name, ensure_ascii=False)[1:-1] if form.before.endswith('"') else function.name
    return (form.before.replace(ANY_ID, "call00001"), name, forced_text(form.middle)), arguments_grammar(function, form)


def _function(tool: Tool) -> CallableFunction:
    function = tool.function
    return CallableFunction(name=function.name, parameters=function.parameters, strict=bool(function.strict))


def _check(choice: str | NamedToolChoice, functions: Sequence[CallableFunction]) -> None:
    names = [function.name for function in functions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ApiError(f"tools: {twice[0]!r} is there more than once.", param="tools")
    if choice == "required" and not names:
        raise ApiError("tool_choice='required' needs tools.", param="tool_choice")
    if isinstance(choice, NamedToolChoice) and choice.function.name not in names:
        message = f"tool_choice: no tool is named {choice.function.name!r}; there are: {', '.join(names)}."
        raise ApiError(message, param="tool_choice")
