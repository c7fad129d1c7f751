"""Which tools may or must be called, and the grammar that sees to it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from serving.openai.bodies import ChatBody, NamedToolChoice, Tool
from serving.openai.error import ApiError
from serving.openai.grammar import MOST_CALLS, CallableFunction, arguments_grammar, auto_grammar, choice_grammar
from serving.openai.json_schema import Schema
from serving.openai.tool_calls import OPENING


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """How one request may call tools.

    `forced` is the part of the answer that is the same whatever the model says. It goes to the prompt's end,
    where it costs no decode step; `grammar` is what may follow.
    """

    forced: str
    grammar: str


def calling(body: ChatBody, answer: Schema | None) -> Calling | None:
    """None where no tool may be called. `answer` is the schema of an answer without a call.

    Required and named are exactly one call; auto is a text, or up to `MOST_CALLS` calls.
    """
    choice = body.tool_choice or "auto"
    functions = [_function(tool) for tool in body.tools or ()]
    _check(choice, functions)
    if not functions or choice == "none":
        return None
    if choice == "auto":
        most = 1 if body.parallel_tool_calls is False else MOST_CALLS
        return Calling(forced="", grammar=auto_grammar(functions, answer, most))
    if isinstance(choice, NamedToolChoice):
        functions = [function for function in functions if function.name == choice.function.name]
    return _one_of(functions)


def _one_of(functions: Sequence[CallableFunction]) -> Calling:
    if len(functions) > 1:
        return Calling(forced=f'{OPENING}\n{{"name": "', grammar=choice_grammar(functions))
    [function] = functions
    name = json.dumps(function.name, ensure_ascii=False)
    # No space at the end: in most vocabularies it is part of the next token.
    forced = f'{OPENING}\n{{"name": {name}, "arguments":'
    return Calling(forced=forced, grammar=arguments_grammar(function))


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
