"""The format of a model's calls is read off its template; what the template writes, the stream reads back."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.openai.prompt import ChatTemplate
from serving.openai.tools.format import HERMES, CallFormat
from serving.openai.tools.stream import CallArguments, CallStart, Content, ToolCallStream
from tests.serving.openai.tools.call_templates import TEMPLATES

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "number"},
        "flag": {"type": "boolean"},
        "items": {"type": "array", "items": {"type": "integer"}},
    },
}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in ("add", "look_up")]
FUNCTIONS = {"add": PARAMETERS, "look_up": PARAMETERS}
Call = tuple[str, dict[str, Any]]
END = "<|im_end|>"
# Python's and XML's texts are written without escapes by the templates, so only some texts can be read back.
TEXTS = st.text(st.sampled_from("abc é.?-\n"), max_size=12)
ARGUMENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "text": TEXTS,
        "number": st.integers(-99, 99) | st.floats(-9, 9).map(lambda value: round(value, 2)),
        "flag": st.booleans(),
        "items": st.lists(st.integers(0, 9), max_size=3),
    },
)
CALLS: st.SearchStrategy[list[Call]] = st.lists(
    st.tuples(st.sampled_from(["add", "look_up"]), ARGUMENTS), min_size=1, max_size=3
)


@cache
def template(name: str) -> ChatTemplate:
    return ChatTemplate(TEMPLATES[name], eos_token=END)


def written(name: str, calls: Sequence[Call]) -> str:
    """The assistant's turn as the template shows it."""
    shown = [
        {
            "id": f"call00{n}ab",
            "type": "function",
            "function": {"name": tool, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for n, (tool, arguments) in enumerate(calls)
    ]
    turns: list[Mapping[str, Any]] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": shown},
    ]
    text = template(name).render(turns, TOOLS)
    return text.split("<|im_start|>assistant\n")[1].partition(END)[0]


def read(form: CallFormat, pieces: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """The content, and the calls with their arguments as text."""
    bare = () if form.tag else FUNCTIONS
    stream = ToolCallStream(bare, written=form, functions=FUNCTIONS)
    content, calls = "", []
    for event in [*(event for piece in pieces for event in stream.feed(piece)), *stream.finish()]:
        match event:
            case Content(text):
                content += text
            case CallStart(_, name):
                calls.append((name, ""))
            case CallArguments(index, text):
                calls[index] = (calls[index][0], calls[index][1] + text)
    return content, calls


def cut(text: str, data: st.DataObject) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "python"])
@given(calls=CALLS, data=st.data())
def test_what_a_template_shows_is_read_back(name: str, calls: list[Call], data: st.DataObject) -> None:
    form = template(name).calls
    calls = calls if form.between else calls[:1]
    content, found = read(form, cut(written(name, calls), data))
    assert content.strip() == ""
    assert [(tool, json.loads(arguments)) for tool, arguments in found] == calls


@pytest.mark.parametrize("name", TEMPLATES)
@given(data=st.data())
def test_any_text_reads_the_same_in_any_pieces(name: str, data: st.DataObject) -> None:
    form = template(name).calls
    parts = [
        *(form.before, form.middle, form.between, form.after),
        "add",
        "look_up",
        "text",
        '{"a": 1}',
        "'b'",
        " ",
        "\n",
        "x",
        ",",
        ")",
        "}",
        "true",
        *_marks(form),
    ]
    text = "".join(data.draw(st.lists(st.sampled_from([part for part in parts if part]), max_size=12)))
    assert read(form, cut(text, data)) == read(form, [text])


def _marks(form: CallFormat) -> tuple[str, ...]:
    keyed = form.keyed
    return () if keyed is None else (keyed.opening, keyed.middle, keyed.closing, keyed.separator, keyed.quote)


@pytest.mark.parametrize("name", TEMPLATES)
@given(text=TEXTS, data=st.data())
def test_a_text_without_a_call_is_content_to_the_letter(name: str, text: str, data: st.DataObject) -> None:
    assert read(template(name).calls, cut(text, data)) == (text, [])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("hermes", "JSON in <tool_call>"),
        ("llama", "JSON"),
        ("mistral", "JSON in [TOOL_CALLS]"),
        ("python", "Python"),
        ("tagged-python", "Python in <|tool_call_start|>"),
        ("xml", "keys and values in <tool_call>"),
        ("gemma", "keys and values in <start_function_call>call:"),
    ],
)
def test_a_format_has_a_short_description(name: str, shown: str) -> None:
    assert str(template(name).calls) == shown


def test_a_template_without_tools_has_the_format_of_our_own_instructions() -> None:
    assert ChatTemplate(None).calls == HERMES
    assert template("hermes").calls == HERMES


def test_a_template_that_takes_one_call_a_turn_says_so() -> None:
    assert not template("llama").calls.between


def test_arguments_are_shown_to_a_template_as_it_takes_them() -> None:
    """As an object, or as JSON text."""
    assert written("text", [("add", {"number": 1})]) == '{"name": "add", "arguments": {"number": 1}}'
    assert written("hermes", [("add", {"number": 1})]).strip().splitlines()[1] == written(
        "text", [("add", {"number": 1})]
    )


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        ("python", "[add(text='a, b)', number=-1.5, flag=True)]", {"text": "a, b)", "number": -1.5, "flag": True}),
        ("python", "[add()]", {}),
        ("python", '[add(items=[1, 2], text="it\'s")]', {"items": [1, 2], "text": "it's"}),
        ("tagged-python", "<|tool_call_start|>[add(flag=false, text=None)]", {"flag": False, "text": None}),
        ("tagged-python", "<|tool_call_start|>[add(text=unquoted)]", {"text": "unquoted"}),
        ("xml", "<tool_call>\n<function=add>\n<parameter=text>\n  12\n</parameter>\n</function>", {"text": "  12"}),
        ("xml", "<tool_call><function=add><parameter=number>12</parameter></function>", {"number": 12}),
        ("xml", "<tool_call>\n<function=add>\n</function>\n</tool_call>", {}),
        ("keys", "<tool_call>add\n<arg_key>flag</arg_key>\n<arg_value>true</arg_value>", {"flag": True}),
        ("gemma", "<start_function_call>call:add{text:<escape>}, {<escape>,number:2}", {"text": "}, {", "number": 2}),
        ("xml", "<tool_call><function=add><parameter=flag>True</parameter></function>", {"flag": True}),
        ("gemma", 'x<start_function_call>call:add{items:["a]", "b"],number:1}', {"items": ["a]", "b"], "number": 1}),
        ("tagged-python", '<|tool_call_start|>[add(text="C:\\Users")]', {"text": "C:\\Users"}),
        ("mistral", '[TOOL_CALLS][{"arguments": {}}, {"name": "add", "arguments": {}}]', None),
        ("mistral", '[TOOL_CALLS][{"name": "add", "arguments": {"number": 1}, "id": "abc"}]', {"number": 1}),
    ],
)
@given(data=st.data())
def test_calls_as_models_write_them(
    name: str, text: str, arguments: dict[str, Any] | None, data: st.DataObject
) -> None:
    _, found = read(template(name).calls, [*cut(text, data), "\n"])
    if arguments is None:
        assert found == []
        return
    [(tool, given_arguments)] = found
    closed = given_arguments if given_arguments.endswith("}") else given_arguments + "}"
    assert (tool, json.loads(closed)) == ("add", arguments)


@pytest.mark.parametrize("name", TEMPLATES)
def test_white_space_without_end_is_read_at_once(name: str) -> None:
    form = template(name).calls
    call = written(name, [("add", {"number": 1})])
    for text in (call, form.before, f"{form.before}add{form.middle}", call.rstrip(")]}")):
        assert read(form, [text, *"\n " * 300]) == read(form, [text + "\n " * 300])
    assert read(form, [call, *"\n " * 300])[1] == read(form, [call])[1]


@pytest.mark.parametrize("name", ["hermes", "xml", "mistral", "mistral-named", "gemma"])
@given(data=st.data())
def test_a_tag_that_begins_no_call_is_text(name: str, data: st.DataObject) -> None:
    form = template(name).calls
    text = f"Wrap it in {form.tag} and close it. More text."
    assert read(form, cut(text, data)) == (text, [])


@pytest.mark.parametrize("value", ["1" * 400, "1e999", "-" + "9" * 4000, "1" * 5000, "NaN", "Infinity"])
@pytest.mark.parametrize("name", ["xml", "keys", "gemma", "tagged-python"])
def test_a_number_that_is_too_large_for_a_float_is_no_failure(name: str, value: str) -> None:
    parameters = {"type": "object", "properties": {"x": {"type": ["string", "integer"]}, "y": {"enum": [10**400, "a"]}}}
    form = template(name).calls
    text = written(name, [("add", {"x": 5, "y": 6})]).replace("5", value).replace("6", value)
    stream = ToolCallStream(written=form, functions={"add": parameters})
    events = stream.feed(text + " ")
    arguments = json.loads("".join(event.text for event in events if isinstance(event, CallArguments)))
    assert all(str(each) == value for each in arguments.values())


def test_a_wrong_escape_in_a_name_is_text() -> None:
    text = 'Use <tool_call> {"name": "a\\qb", "arguments": {} then'
    assert read(HERMES, [text]) == (text, [])


@given(data=st.data())
def test_an_answer_of_json_has_a_call_only_at_its_beginning(data: st.DataObject) -> None:
    text = '{"x": "the <tool_call> tag"}'
    stream = ToolCallStream(functions=FUNCTIONS, only_first=True)
    events = [event for piece in cut(text, data) for event in stream.feed(piece)] + stream.finish()
    assert "".join(event.text for event in events if isinstance(event, Content)) == text
    stream = ToolCallStream(functions=FUNCTIONS, only_first=True)
    events = [event for piece in cut(written("hermes", [("add", {})]), data) for event in stream.feed(piece)]
    assert CallStart(0, "add") in events


@pytest.mark.parametrize("name", ["gemma", "tagged-python", "xml", "keys"])
def test_types_of_a_schema_decide_what_is_text(name: str) -> None:
    """Where a format has no quotes: a text that looks like a number stays one."""
    parameters = {
        "type": "object",
        "properties": {
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "choice": {"enum": ["1", "2"]},
            "number": {"type": ["string", "integer"]},
        },
    }
    form = template(name).calls
    stream = ToolCallStream(written=form, functions={"add": parameters})
    arguments = {"maybe": "12345", "choice": "1", "number": 5}
    events = stream.feed(written(name, [("add", arguments)]) + " ")
    assert json.loads("".join(event.text for event in events if isinstance(event, CallArguments))) == arguments


SOURCE = TEMPLATES["mistral-named"]


@given(data=st.data())
def test_the_id_of_a_call_may_be_any(data: st.DataObject) -> None:
    with_ids = ChatTemplate(SOURCE.replace("'[ARGS]'", "'[CALL_ID]' + call.id + '[ARGS]'"), eos_token=END)
    form = with_ids.calls
    text = '[TOOL_CALLS]add[CALL_ID]aB3dE5fG7[ARGS]{"n": 1}[TOOL_CALLS]add[CALL_ID]zzzzzzzzz[ARGS]{"n": 2}'
    assert read(form, cut(text, data))[1] == [("add", '{"n": 1}'), ("add", '{"n": 2}')]


def test_a_template_that_shows_no_calls_is_known_by_its_marks() -> None:
    asks = "{{ tools | tojson if tools }}{% for m in messages %}{{ m.content }}{% endfor %}{# MARK #}"
    listed = ChatTemplate(asks.replace("MARK", "<|tool_call|>")).calls
    assert read(listed, ['<|tool_call|>[{"name": "add", "arguments": {"n": 1}}]'])[1] == [("add", '{"n": 1}')]
    python = ChatTemplate(asks.replace("MARK", "<|tool_list_start|>")).calls
    assert read(python, ["<|tool_call_start|>[add(n=1)]<|tool_call_end|>"])[1] == [("add", '{"n": 1}')]
    assert ChatTemplate(asks).calls == HERMES


def test_tools_that_a_template_leaves_out_are_told_as_text() -> None:
    """Phi-4-mini's template takes them from a message."""
    only_in_a_message = ChatTemplate("{% for m in messages %}{{ m.content }}{{ m['tools'] }}{% endfor %}")
    assert not only_in_a_message.knows_tools
    assert '"look_up"' in only_in_a_message.render([{"role": "user", "content": "go"}], TOOLS)


def test_a_template_that_writes_long_or_repeated_text_around_calls_is_read_soon() -> None:
    repeated = TEMPLATES["text"].replace('\'{"name": "\'', repr("key_one value one key_two 7 " * 60))
    assert ChatTemplate(repeated).calls == HERMES
    long = TEMPLATES["hermes"].replace("<tool_call>", "<tool_call>" + "x" * 900)
    assert read(ChatTemplate(long).calls, ["no call"]) == ("no call", [])
    after = TEMPLATES["hermes"].replace(
        "{%- if add_generation_prompt %}", "tools: {{ tools }}{%- if add_generation_prompt %}"
    )
    assert ChatTemplate(after, eos_token=END).calls == HERMES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gemma", "<start_function_call>call:add{items:["),
        ("tagged-python", "<|tool_call_start|>[add(items=["),
        ("tagged-python", "<|tool_call_start|>[add(text='"),
        ("hermes", "```a"),
        ("hermes", '<tool_call>{"name": "'),
    ],
)
def test_what_is_undecided_for_long_is_not_read_again_and_again(name: str, text: str) -> None:
    form = template(name).calls
    pieces = (text, *["1,a"] * 5000)
    assert read(form, pieces) == read(form, ["".join(pieces)])
