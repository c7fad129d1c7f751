"""The tool-call stream gives the same calls however the text is cut."""

import json
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.openai.tools.stream import CallArguments, CallStart, Content, ToolCallStream

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
CALLS = st.lists(st.tuples(st.text(min_size=1), st.dictionaries(st.text(), JSON, max_size=3)), min_size=1, max_size=3)


def read(pieces: list[str], untagged: Collection[str] = ()) -> tuple[str, list[tuple[str, str]]]:
    """The content, and the calls as (name, arguments)."""
    stream = ToolCallStream(untagged)
    events = [event for piece in pieces for event in stream.feed(piece)] + stream.finish()
    content = ""
    calls: list[tuple[str, str]] = []
    for event in events:
        match event:
            case Content(text):
                content += text
            case CallStart(index, name):
                assert index == len(calls)
                calls.append((name, ""))
            case CallArguments(index, text):
                assert index == len(calls) - 1
                calls[-1] = (calls[-1][0], calls[-1][1] + text)
    return content, calls


def cut(text: str, data: st.DataObject) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def written(calls: list[tuple[str, dict[str, object]]]) -> str:
    bodies = (json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls)
    return "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)


@given(calls=CALLS, data=st.data())
def test_any_cut_gives_the_calls(calls: list[tuple[str, dict[str, object]]], data: st.DataObject) -> None:
    content, found = read(cut("Let me see. " + written(calls), data))
    assert content == "Let me see."
    assert [(name, json.loads(arguments)) for name, arguments in found] == calls


@given(text=st.text(alphabet='<tool_call>/{}"name: \n', max_size=80), data=st.data())
def test_any_text_reads_the_same_in_any_pieces(text: str, data: st.DataObject) -> None:
    assert read(cut(text, data)) == read([text])


@given(text=st.text(), data=st.data())
def test_text_without_a_tag_is_content_to_the_letter(text: str, data: st.DataObject) -> None:
    assert read(cut(text, data)) == (text, [])


def test_a_possible_tag_is_held_back_until_it_is_none() -> None:
    stream = ToolCallStream()
    assert stream.feed("a <tool") == [Content("a")]
    assert stream.feed("box>") == [Content(" <toolbox>")]


def test_arguments_stream_as_they_come() -> None:
    stream = ToolCallStream()
    assert stream.feed('<tool_call>{"name": "f", "arguments": {"a"') == [
        CallStart(0, "f"),
        CallArguments(0, '{"a"'),
    ]
    assert stream.feed(": 1") == [CallArguments(0, ": 1")]


def test_a_call_that_was_cut_off_keeps_its_arguments() -> None:
    assert read(['<tool_call>\n{"name": "f", "arguments": {"a": "}']) == ("", [("f", '{"a": "}')])
    assert read(['<tool_call>\n{"name": "f']) == ("", [])


CALL = '{"name": "add", "arguments": {"a": 1}}'
INDENTED = json.dumps(json.loads(CALL), indent=4)
ONE = [("add", {"a": 1})]
TWO = ONE * 2


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (CALL, "", ONE),
        (f"\n{INDENTED}\n", "", ONE),
        (f"```json\n{INDENTED}\n```", "", ONE),
        (f"```\n{CALL}```", "", ONE),
        (f"I'll add them.\n\n```json\n{CALL}\n```\nThe sum is 3.", "I'll add them.", ONE),
        (CALL.replace("arguments", "parameters"), "", ONE),
        (CALL.replace("{", '{"type": "function", ', 1), "", ONE),
        (f"{CALL}\n{CALL}", "", TWO),
        (f"```json\n[{CALL}, {CALL}]\n```", "", TWO),
        (f"```json\n{CALL}\n```\n\n```json\n{CALL}\n```", "", TWO),
        (f"{CALL}\n<tool_call>\n{CALL}\n</tool_call>", "", TWO),
        (f"<tool_call>\n{CALL}\n</tool_call>\n{CALL}", "", TWO),
        (f"{{{CALL}}}", "", ONE),
        (f"{{{CALL}", "", ONE),
        (f"```json\n{{{CALL}}}\n```\n{{{CALL}}}\n{CALL}", "", ONE * 3),
        (f"As in {CALL}", f"As in {CALL}", []),
        (CALL.replace("add", "rm"), CALL.replace("add", "rm"), []),
        ('{"name": "add"}', '{"name": "add"}', []),
        ('{"name": "add", "arguments": 3}', '{"name": "add", "arguments": 3}', []),
        ('{"name": "' + "a" * 200, '{"name": "' + "a" * 200, []),
        ("```json\n[1, 2]\n```\n", "```json\n[1, 2]\n```\n", []),
        ("```python\nprint({})\n```", "```python\nprint({})\n```", []),
    ],
)
@given(data=st.data())
def test_a_call_of_an_offered_function_needs_no_tags(
    text: str, content: str, calls: list[tuple[str, object]], data: st.DataObject
) -> None:
    told, found = read(cut(text, data), ["add", "sub"])
    assert told == content
    assert [(name, json.loads(arguments)) for name, arguments in found] == calls
    assert read([text], ["sub"])[1] == [call for call in read([text])[1] if "<tool_call>" in text]


@given(text=st.text(alphabet='`json[{"name": add, arguments}\n]', max_size=80), data=st.data())
def test_any_text_without_tags_reads_the_same_in_any_pieces(text: str, data: st.DataObject) -> None:
    assert read(cut(text, data), ["add", "a", ""]) == read([text], ["add", "a", ""])


@given(text=st.text() | st.text(alphabet='`json[{"name": ad\n]'), data=st.data())
def test_text_that_names_no_offered_function_is_content_to_the_letter(text: str, data: st.DataObject) -> None:
    assert read(cut(text, data), ["add"]) == (text, [])


def test_a_name_that_is_too_long_for_a_function_is_not_held_back() -> None:
    stream = ToolCallStream(["add"])
    assert stream.feed('{"name": "' + "a" * 100) == []
    assert stream.feed("a" * 100) == [Content('{"name": "' + "a" * 200)]
