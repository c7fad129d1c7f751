"""Reasoning: found by the marks of the template, split from the answer, bounded, and left out of grammars."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.openai.bodies import ChatBody
from serving.openai.error import ApiError
from serving.openai.prepare import Preparation
from serving.openai.prompt import ChatTemplate
from serving.openai.reasoning import ReasoningConstraint, ReasoningFormat, ReasoningStream
from serving.openai.validation import parse
from tests.serving.fake_engine import ByteTokenizer, FakeEngine
from tests.serving.openai.tools.test_grammar import ControlTokenizer

SWITCHED = """\
{%- for m in messages %}<|im_start|>{{ m.role }}
{%- if m.role == 'assistant' and m.reasoning_content %}
<think>
{{ m.reasoning_content }}
</think>

{% endif %}
{{ m.content }}<|im_end|>
{%- endfor %}
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif %}{% endif %}
"""
ALWAYS = """\
{%- for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] }}{% endfor %}
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- if add_generation_prompt %}[assistant]<think>
{% endif %}
"""
FORM = ReasoningFormat("<think>", "</think>", "\n\n")
POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "point", "schema": POINT}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": POINT}}


class ThinkingTokenizer(ControlTokenizer):
    def __init__(self) -> None:
        super().__init__("<think>", "</think>")


def prepared(template: str, **options: Any) -> tuple[ByteTokenizer, Any]:
    engine = FakeEngine()
    engine.tokenizer = ThinkingTokenizer()
    engine.tokenizer.chat_template = template
    body = ChatBody.model_validate({"model": "m", "messages": [{"role": "user", "content": "go"}], **options})
    return engine.tokenizer, Preparation(engine).chat(body)


def prompt(template: str, **options: Any) -> str:
    tokenizer, result = prepared(template, **options)
    return b"".join(map(tokenizer.token_bytes, result.prompt_ids)).decode()


def allowed(constraint: Any, tokenizer: ByteTokenizer) -> set[int]:
    mask = np.zeros(-(-tokenizer.vocab_size // 32), np.int32)
    constraint.fill_mask(mask)
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
    return set(np.flatnonzero(bits).tolist())


def take(constraint: Any, tokenizer: ByteTokenizer, text: str) -> None:
    for token in tokenizer.encode(text):
        assert token in allowed(constraint, tokenizer), text
        constraint.accept(token)


def test_the_marks_are_those_of_the_template() -> None:
    assert ChatTemplate(SWITCHED).reasoning == FORM
    assert ChatTemplate(ALWAYS).reasoning == FORM
    assert ChatTemplate(SWITCHED.replace("think>", "thought>")).reasoning == ReasoningFormat(
        "<thought>", "</thought>", "\n\n"
    )
    assert ChatTemplate(None).reasoning is None


@pytest.mark.parametrize(
    ("text", "is_begun", "parts"),
    [
        ("<think>\nHm.\n</think>\n\nYes.", False, ("Hm.", "Yes.")),
        ("Hm.\n</think>\n\nYes.", True, ("Hm.", "Yes.")),
        ("Yes. <think>no</think>", False, ("", "Yes. <think>no</think>")),
        ("\n\n</think>\n\nYes.", True, ("", "Yes.")),
        ("a </thin b", True, ("a </thin b", "")),
        ("<think>still", False, ("still", "")),
        ("<thin", False, ("", "<thin")),
        ("  Yes.\n", False, ("", "  Yes.\n")),
    ],
)
@given(data=st.data())
def test_any_cut_gives_the_same_parts(text: str, is_begun: bool, parts: tuple[str, str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    stream = ReasoningStream(FORM, is_begun=is_begun)
    pieces = [stream.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    thoughts, answers = zip(*pieces, stream.finish(), strict=True)
    assert ("".join(thoughts), "".join(answers)) == parts


@given(text=st.text(alphabet="<think>/ a\n", max_size=40), is_begun=st.booleans(), data=st.data())
def test_any_text_reads_the_same_in_any_pieces(text: str, is_begun: bool, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    readings = []
    for ends in (cuts, []):
        stream = ReasoningStream(FORM, is_begun=is_begun)
        pieces = [stream.feed(text[a:b]) for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
        readings.append(tuple("".join(part) for part in zip(*pieces, stream.finish(), strict=True)))
    assert readings[0] == readings[1]


@pytest.mark.parametrize("template", [SWITCHED, ALWAYS])
def test_a_schema_holds_after_the_reasoning(template: str) -> None:
    tokenizer, result = prepared(template, response_format=SCHEMA)
    constraint = result.constraint
    if template == SWITCHED:
        assert constraint.forced() == []
        take(constraint, tokenizer, "<think>")
    take(constraint, tokenizer, "{free} text\n</think>")
    assert constraint.forced() == tokenizer.encode("\n\n")
    take(constraint.copy(), tokenizer, '\n\n{"x": 1}')
    take(constraint, tokenizer, '\n\n{"x": 1}')
    assert allowed(constraint, tokenizer) <= set(tokenizer.eos_ids)
    constraint.accept(tokenizer.eos_ids[0])
    assert constraint.finished


def test_an_answer_may_begin_without_reasoning() -> None:
    tokenizer, result = prepared(SWITCHED, response_format=SCHEMA)
    [begin] = tokenizer.encode("<think>")
    assert allowed(result.constraint, tokenizer) == {begin, *tokenizer.encode("{")}
    take(result.constraint, tokenizer, '{"x": 1}')
    assert begin not in allowed(result.constraint, tokenizer)


def test_a_budget_ends_the_reasoning() -> None:
    tokenizer, result = prepared(ALWAYS, thinking_token_budget=3)
    take(result.constraint, tokenizer, "abc")
    assert result.constraint.forced() == tokenizer.encode("\n</think>\n\n")
    take(result.constraint, tokenizer, "\n</think>\n\nfree <b>")
    assert not result.constraint.finished
    result.constraint.accept(tokenizer.eos_ids[0])
    assert result.constraint.finished


def test_a_budget_of_nothing_is_no_reasoning() -> None:
    tokenizer, result = prepared(ALWAYS, thinking_token_budget=0)
    assert result.constraint.forced() == tokenizer.encode("\n</think>\n\n")
    tokenizer, result = prepared(SWITCHED, thinking_token_budget=0)
    take(result.constraint, tokenizer, "<think>\n</think>\n\nYes")


def test_an_end_within_the_reasoning_ends_the_answer() -> None:
    tokenizer, result = prepared(ALWAYS, response_format=SCHEMA)
    result.constraint.accept(tokenizer.eos_ids[0])
    assert result.constraint.finished


def test_a_mark_of_several_tokens_is_no_beginning_of_an_answer_under_a_grammar() -> None:
    engine = FakeEngine()
    engine.tokenizer.chat_template = SWITCHED
    body = {"model": "m", "messages": [{"role": "user", "content": "go"}], "response_format": SCHEMA}
    constraint = Preparation(engine).chat(ChatBody.model_validate(body)).constraint
    assert isinstance(constraint, ReasoningConstraint)
    assert allowed(constraint, engine.tokenizer) == set(engine.tokenizer.encode("{"))


def test_a_forced_call_ends_the_reasoning_that_the_prompt_begins() -> None:
    text = prompt(ALWAYS, tools=[TOOL], tool_choice="required")
    assert text.endswith('[assistant]<think>\n</think>\n\n<tool_call>\n{"name": "add", "arguments":')


@pytest.mark.parametrize(
    ("options", "thinks"),
    [
        ({}, True),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "low"}, True),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}}, True),
    ],
)
def test_the_template_is_told_whether_to_think(options: dict[str, Any], thinks: bool) -> None:
    assert ("</think>" not in prompt(SWITCHED, **options)) is thinks


@pytest.mark.parametrize("options", [{"reasoning_effort": "low"}, {"thinking_token_budget": 5}])
def test_a_model_without_reasoning_refuses_what_asks_for_it(options: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match=r"no reasoning\. Leave"):
        prompt("{{ messages[0].content }}", **options)
    assert prompt("{{ messages[0].content }}", reasoning_effort="none", thinking_token_budget=0) == "go"


def test_variables_that_the_server_sets_are_refused() -> None:
    raw = b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"messages": []}}'
    with pytest.raises(ApiError, match="chat_template_kwargs: messages is set by the server"):
        parse(raw, ChatBody)


def test_reasoning_that_a_client_sends_back_is_shown_to_the_template() -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "because <think>"},
        {"role": "user", "content": "c"},
    ]
    assert "<think>\nbecause <think>\n</think>" in prompt(SWITCHED, messages=turns)


def test_a_budget_needs_a_mark_of_one_token() -> None:
    engine = FakeEngine()
    engine.tokenizer.chat_template = SWITCHED
    body = {"model": "m", "messages": [{"role": "user", "content": "go"}], "thinking_token_budget": 2}
    with pytest.raises(ApiError, match="no single token"):
        Preparation(engine).chat(ChatBody.model_validate(body))
