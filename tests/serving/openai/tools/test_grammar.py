"""Grammars of calls in each format: they let through what the template shows, and nothing that does not fit."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from serving.openai.bodies import ChatBody
from serving.openai.grammar import Grammars
from serving.openai.prepare import Preparation
from serving.openai.tools.format import CallFormat
from serving.openai.tools.grammar import CallableFunction, arguments_grammar, auto_grammar, choice_grammar, forced_text
from tests.serving.fake_engine import ByteTokenizer, FakeEngine
from tests.serving.openai.tools.call_templates import TEMPLATES
from tests.serving.openai.tools.test_format import ARGUMENTS, PARAMETERS, Call, read, template, written

TOKENIZER = ByteTokenizer()
GRAMMARS = Grammars(TOKENIZER)
FUNCTIONS = [CallableFunction(name=name, parameters=PARAMETERS) for name in ("add", "look_up")]
ONE_LINE = ARGUMENTS.filter(lambda arguments: "\n" not in str(arguments.get("text"))).map(
    lambda arguments: {key: arguments[key] for key in PARAMETERS["properties"] if key in arguments}
)
CALLS: st.SearchStrategy[list[Call]] = st.lists(st.tuples(st.sampled_from(["add", "look_up"]), ONE_LINE), min_size=1)
# The template with Python's calls writes texts without their quotes; Mistral's shows ids, which are left out.
NAMES = [name for name in TEMPLATES if name not in ("python", "mistral")]
CONSTRAINED = ["hermes", "tagged-python", "xml", "gemma"]


def accepts(grammar: str, text: str) -> bool:
    """Whether every token of `text` is allowed in turn, and the end after the last."""
    constraint = GRAMMARS.constraint(grammar, "test")
    return all(_takes(constraint, token) for token in [*TOKENIZER.encode(text), *TOKENIZER.eos_ids])


def _takes(constraint: Any, token: int) -> bool:
    if constraint.finished:
        return token in TOKENIZER.eos_ids
    try:
        constraint.accept(token)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
@given(calls=CALLS)
def test_a_text_and_calls_as_the_template_shows_them(name: str, calls: list[Call]) -> None:
    form = template(name).calls
    text = written(name, calls[: 3 if form.between else 1])
    assert accepts(auto_grammar(FUNCTIONS, None, 16, form), f"Sure.{text}")
    assert accepts(auto_grammar(FUNCTIONS, PARAMETERS, 16, form), text.lstrip())


@pytest.mark.parametrize("name", NAMES)
@given(call=st.tuples(st.sampled_from(["add", "look_up"]), ONE_LINE))
def test_what_follows_a_forced_beginning(name: str, call: Call) -> None:
    form = template(name).calls
    text = written(name, [call]).lstrip()
    [function] = [function for function in FUNCTIONS if function.name == call[0]]
    begun = forced_text(f"{form.before}{function.name}{form.middle}")
    rest = text.removeprefix(begun)
    end = len(rest) if form.keyed is not None else len(rest) - len(form.after)
    assert accepts(arguments_grammar(function, form), rest[:end] if form.keyed is not None else _json_part(rest))
    assert read(form, [begun, rest])[1] == read(form, [text])[1]


def _json_part(text: str) -> str:
    begin = text.index("{")
    return text[: begin + json.JSONDecoder().raw_decode(text[begin:])[1]]


@pytest.mark.parametrize("name", CONSTRAINED)
@pytest.mark.parametrize(
    "arguments", [{"number": "x"}, {"flag": 3}, {"items": ["a"]}, {"other": 1}, {"flag": True, "number": 1}]
)
def test_what_fits_no_schema_is_not_let_through(name: str, arguments: dict[str, Any]) -> None:
    form = template(name).calls
    assert accepts(auto_grammar(FUNCTIONS, None, 16, form), written(name, [("add", {"number": 1, "flag": True})]))
    assert not accepts(auto_grammar(FUNCTIONS, None, 16, form), written(name, [("add", arguments)]))
    assert not accepts(auto_grammar(FUNCTIONS, None, 16, form), written(name, [("remove", {})]))


@pytest.mark.parametrize("name", CONSTRAINED)
def test_required_arguments_and_options(name: str) -> None:
    parameters = {
        "type": "object",
        "properties": {
            "unit": {"type": "string", "enum": ["km", "mile"]},
            "level": {"enum": [1, 2]},
            "note": {"type": ["string", "null"]},
            "when": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        },
        "required": ["unit"],
    }
    form = template(name).calls
    grammar = auto_grammar([CallableFunction(name="add", parameters=parameters)], None, 1, form)
    for right in ({"unit": "km"}, {"unit": "mile", "level": 2, "note": "n"}, {"unit": "km", "when": 5}):
        assert accepts(grammar, written(name, [("add", right)])), right
    for wrong in ({}, {"unit": "m"}, {"unit": "km", "level": 3}, {"level": 1}):
        assert not accepts(grammar, written(name, [("add", wrong)])), wrong


def test_one_of_several_functions() -> None:
    form = template("xml").calls
    grammar = choice_grammar(FUNCTIONS, form)
    assert accepts(grammar, "look_up>\n<parameter=flag>\ntrue\n</parameter>\n</function>\n</tool_call>")
    assert not accepts(grammar, "remove>\n</function>\n</tool_call>")


class ControlTokenizer(ByteTokenizer):
    """With control tokens of its own."""

    def __init__(self, *tokens: str) -> None:
        super().__init__()
        self.hf.add_special_tokens([*tokens])
        self.vocab_size = self.hf.get_vocab_size()
        self.special_ids = (*self.eos_ids, *(int(self.hf.token_to_id(token) or 0) for token in tokens))
        self._bytes += [token.encode() for token in tokens]
        self._literal = Tokenizer.from_str(self.hf.to_str())
        self._literal.encode_special_tokens = True


@pytest.mark.parametrize(
    ("name", "controls"),
    [
        ("granite", ["<|tool_call|>"]),
        ("mistral-named", ["[TOOL_CALLS]", "[ARGS]"]),
        ("gemma", ["<start_function_call>", "<end_function_call>", "<escape>"]),
        ("tagged-python", ["<|tool_call_start|>", "<|tool_call_end|>"]),
    ],
)
def test_control_tokens_of_a_format_are_tokens_in_the_grammar_and_text_in_the_answer(
    name: str, controls: list[str]
) -> None:
    engine = FakeEngine()
    engine.tokenizer = tokenizer = ControlTokenizer(*controls)
    tokenizer.chat_template = TEMPLATES[name]
    tools = [{"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}]
    body = {"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": tools}
    prepared = Preparation(engine).chat(ChatBody.model_validate(body))
    ids = {int(tokenizer.hf.token_to_id(token) or 0) for token in controls}
    assert prepared.params.shown == ids
    assert prepared.constraint is not None
    text = written(name, [("add", {"text": "a <b>", "number": 1})]).lstrip()
    tokens = tokenizer.encode(f"Sure. {text}")
    assert ids <= set(tokens)
    for token in tokens:
        prepared.constraint.accept(token)


def test_a_forced_call_begins_with_the_formats_control_tokens() -> None:
    engine = FakeEngine()
    engine.tokenizer = tokenizer = ControlTokenizer("[TOOL_CALLS]", "[ARGS]")
    tokenizer.chat_template = TEMPLATES["mistral-named"]
    tools = [{"type": "function", "function": {"name": "add[ARGS]", "parameters": PARAMETERS}}]
    body = {"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": tools, "tool_choice": "required"}
    ids = list(Preparation(engine).chat(ChatBody.model_validate(body)).prompt_ids)
    begun = [tokenizer.hf.token_to_id("[TOOL_CALLS]"), *tokenizer.encode_literal("add[ARGS]")]
    assert ids[-len(begun) - 1 :] == [*begun, tokenizer.hf.token_to_id("[ARGS]")]


def test_a_format_without_a_tag_leaves_the_model_free() -> None:
    engine = FakeEngine()
    engine.tokenizer.chat_template = TEMPLATES["llama"]
    tools = [{"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}]
    body = {"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": tools}
    assert Preparation(engine).chat(ChatBody.model_validate(body)).constraint is None
    form: CallFormat = template("llama").calls
    assert accepts(auto_grammar(FUNCTIONS, None, 16, form), "any text {")


@pytest.mark.parametrize("name", CONSTRAINED)
def test_a_schema_that_is_true_allows_any_value(name: str) -> None:
    parameters = {"type": "object", "properties": {"x": {"anyOf": [True, {"type": "string"}]}}}
    grammar = auto_grammar([CallableFunction(name="add", parameters=parameters)], None, 1, template(name).calls)
    assert accepts(grammar, written(name, [("add", {"x": 5})]))
