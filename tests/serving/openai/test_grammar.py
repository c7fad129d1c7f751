"""Which texts the grammars let through, on a vocabulary of bytes and on the real one."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.core import Constraint
from serving.openai.error import ApiError
from serving.openai.grammar import Grammars, GrammarTokenizer, json_grammar
from serving.openai.json_schema import closed
from serving.openai.tools.grammar import CallableFunction, arguments_grammar, auto_grammar, choice_grammar
from tests.serving.fake_engine import ByteTokenizer

TOKENIZER = ByteTokenizer()
GRAMMARS = Grammars(TOKENIZER)
POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
FUNCTIONS = [
    CallableFunction(name="math.factorial", parameters=POINT),
    CallableFunction(name='odd "név"', parameters=None),
]


def accepts(grammar: str, text: str) -> tuple[bool, bool]:
    """Whether every token of `text` is allowed in turn, and whether only the end may follow."""
    constraint = GRAMMARS.constraint(grammar, "test")
    return walk(constraint, TOKENIZER.encode(text), TOKENIZER), constraint.finished


def walk(constraint: Constraint, ids: list[int], tokenizer: GrammarTokenizer) -> bool:
    for token in ids:
        if not allowed(constraint, tokenizer)[token]:
            return False
        constraint.accept(token)
    return True


def allowed(constraint: Constraint, tokenizer: GrammarTokenizer) -> Any:
    mask = np.zeros((tokenizer.vocab_size + 31) // 32 + 1, np.int32)  # padded as a model's vocabulary may be
    constraint.fill_mask(mask)
    assert mask[-1] == 0
    return np.unpackbits(mask.view(np.uint8), bitorder="little").astype(bool)


def test_json_is_written_as_json_dumps_does_and_ends_at_once() -> None:
    grammar = json_grammar({"type": "object", "properties": {"a": {"type": "array"}, "b": {}}})
    assert accepts(grammar, json.dumps({"a": [1, "x"], "b": {"c": None}})) == (True, True)
    assert accepts(grammar, '{"a":[]}') == (False, False)
    assert accepts(json_grammar(POINT), '{"x": 12}') == (True, True)
    assert not accepts(json_grammar(POINT), '{"x": 12, "more": 1}')[0]
    assert accepts(json_grammar({"type": "object"}), '{"x": 12, "more": 1}') == (True, True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["<eos>", "<", "eos>", "a", " ", "é", '"']), min_size=1, max_size=8).map("".join))
def test_a_schemas_text_that_spells_a_special_token_is_written_in_plain_tokens(text: str) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}, "b": {"const": text}}, "required": ["a", "b"]}
    assert spelled(json_grammar(schema), GRAMMARS, TOKENIZER) == json.dumps({"a": 1, "b": text}, ensure_ascii=False)


def spelled(grammar: str, grammars: Grammars, tokenizer: Any) -> str:
    """What comes of forced tokens and, where there is a choice, the first one; none of them is special."""
    constraint = grammars.constraint(grammar, "test")
    ids: list[int] = []
    while not constraint.finished:
        for token in constraint.forced() or [int(np.flatnonzero(allowed(constraint, tokenizer))[0])]:
            assert token not in tokenizer.special_ids
            constraint.accept(token)
            ids.append(token)
    return b"".join(tokenizer.token_bytes(token) for token in ids).decode()


def test_an_end_of_sequence_is_taken_only_where_the_value_may_end() -> None:
    [end] = TOKENIZER.eos_ids
    constraint = GRAMMARS.constraint(json_grammar({"type": "integer"}), "test")
    constraint.accept(TOKENIZER.encode("4")[0])
    constraint.accept(end)
    assert constraint.finished
    early = GRAMMARS.constraint(json_grammar(POINT), "test")
    with pytest.raises(RuntimeError, match="can't go on"):
        early.accept(end)


def test_only_the_end_follows_a_finished_value() -> None:
    constraint = GRAMMARS.constraint(json_grammar(closed(POINT)), "test")
    assert walk(constraint, TOKENIZER.encode('{"x": 1}'), TOKENIZER)
    assert list(np.flatnonzero(allowed(constraint, TOKENIZER))) == list(TOKENIZER.eos_ids)


def test_requests_do_not_share_their_state() -> None:
    first, second = (GRAMMARS.constraint(json_grammar(POINT), "test") for _ in range(2))
    first.accept(TOKENIZER.encode("{")[0])
    assert allowed(second, TOKENIZER)[TOKENIZER.encode("{")[0]]


def test_the_arguments_of_one_function() -> None:
    grammar = arguments_grammar(FUNCTIONS[0])
    assert accepts(grammar, ' {"x": 5}') == (True, True)
    assert not accepts(grammar, ' {"y": 5}')[0]
    assert accepts(arguments_grammar(FUNCTIONS[1]), " {}") == (True, True)


def test_a_choice_among_functions_has_the_arguments_of_the_chosen() -> None:
    grammar = choice_grammar(FUNCTIONS)
    assert accepts(grammar, 'math.factorial", "arguments": {"x": 5}}') == (True, True)
    assert accepts(grammar, 'odd \\"név\\"", "arguments": {}}') == (True, True)
    assert not accepts(grammar, 'math.factorial", "arguments": {}}')[0]


@pytest.mark.parametrize("tag", ["<tool_call>{}</tool_call>", "<tool_call>\n{}\n</tool_call>"])
def test_auto_is_text_until_a_call_begins(tag: str) -> None:
    call = tag.replace("{}", '{"name": "math.factorial", "arguments": {"x": 5}}')
    one, many = auto_grammar(FUNCTIONS, None, 1), auto_grammar(FUNCTIONS, None, 16)
    assert accepts(many, "Five <b>factorial</b> {is} <tool") == (True, False)
    assert accepts(one, f"Sure. {call}") == (True, True)
    assert accepts(many, f"Sure. {call}\n{call}") == (True, False)
    assert not accepts(one, f"{call}\n")[0]
    assert not accepts(many, call.replace("factorial", "fact"))[0]
    assert not accepts(many, f"{call} and so on")[0]


def test_auto_with_a_schema_is_json_or_a_call() -> None:
    grammar = auto_grammar(FUNCTIONS, closed(POINT), 1)
    assert accepts(grammar, '{"x": 5}') == (True, True)
    assert accepts(grammar, '<tool_call>{"name": "math.factorial", "arguments": {"x": 5}}</tool_call>')[0]
    assert not accepts(grammar, "Sure")[0]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "dict"}, "Invalid type: dict"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"$ref": "#/missing"}, "missing"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(ApiError, match=reason) as refused:
        GRAMMARS.constraint(json_grammar(schema), "response_format")
    assert refused.value.param == "response_format"


def test_a_tool_may_be_approximated_unless_it_is_strict() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string", "format": "odd"}}}
    loose = CallableFunction(name="f", parameters=parameters)
    assert accepts(arguments_grammar(loose), ' {"a": "b"}') == (True, True)
    with pytest.raises(ApiError, match="Unknown format: odd"):
        GRAMMARS.constraint(arguments_grammar(CallableFunction(name="f", parameters=parameters, strict=True)), "tools")


def test_objects_are_closed_where_that_loses_nothing() -> None:
    nested = {"type": "object", "properties": {"p": POINT, "q": {"type": "array", "items": POINT}}}
    shut = closed(nested)
    assert shut["additionalProperties"] is False
    assert shut["properties"]["q"]["items"]["additionalProperties"] is False
    kept: list[dict[str, Any]] = [
        {"allOf": [POINT, {"properties": {"y": {}}}]},
        {**POINT, "anyOf": [{"required": ["x"]}]},
        {**POINT, "additionalProperties": {"type": "string"}},
        {**POINT, "required": ["y"]},
        {"enum": [{"properties": {}}]},
    ]
    for schema in kept:
        assert closed(schema) == schema


def takes(schema: dict[str, Any], text: str) -> bool:
    return accepts(json_grammar(schema), text) == (True, True)


def test_a_property_does_not_pass_under_an_escaped_name() -> None:
    properties = {name: {"type": "integer"} for name in ("a", "é", 'q"', "n\n")}
    schema = {"type": "object", "properties": properties, "additionalProperties": {"type": "string"}}
    for name in (r"\u0061", r"\u00e9", r"q\u0022", r"n\u000a"):
        assert not takes(schema, f'{{"{name}": "text"}}')
    assert takes(schema, '{"é": 1, "other\\n": "text"}')
    assert not takes({"patternProperties": {"^é": False}}, r'{"\u00e9": 1}')


def test_closing_objects_does_not_make_one_of_several_fit() -> None:
    options = [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {"type": "integer"}}},
    ]
    with pytest.raises(ApiError, match="oneOf: that a value fits only one"):
        accepts(json_grammar({"oneOf": options}), '{"a": 1}')
    shut = [{**option, "additionalProperties": False} for option in options]
    assert takes({"oneOf": shut}, '{"a": 1}')
    tagged = [{**POINT, "properties": {"x": {}, "k": {"const": tag}}, "required": ["x", "k"]} for tag in "ab"]
    union = {"$defs": {"a": tagged[0]}, "oneOf": [{"$ref": "#/$defs/a"}, tagged[1]]}
    assert takes(union, '{"x": 1, "k": "b"}')
    assert not accepts(json_grammar(union), '{"x": 1, "k": "b", "more"')[0]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("date", ["2024-02-29", "2000-02-29", "1999-12-31"], ["2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01"]),
        ("time", ["23:59:59Z", "08:30:00.25+02:00"], ["23:59:60Z", "24:00:00Z", "08:30:00"]),
        ("date-time", ["2024-02-29T00:00:00-23:59"], ["2023-02-29T00:00:00Z", "2024-02-29 00:00:00Z"]),
    ],
)
def test_dates_and_times_exist(name: str, right: list[str], wrong: list[str]) -> None:
    schema = {"$ref": "#/parts/Day", "parts": {"Day": {"type": "string", "format": name, "pattern": "^[0-2]"}}}
    assert [text for text in right if not takes(schema, f'"{text}"')] == []
    assert [text for text in wrong if takes(schema, f'"{text}"')] == []


def test_keywords_that_say_nothing_where_they_are_do_no_harm() -> None:
    assert takes({"type": "array", "uniqueItems": True, "maxItems": 1}, "[1]")
    assert takes({"uniqueItems": False, "then": False, "minContains": 3}, "[1, 1]")
    names = {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "integer"}}
    assert takes(names, '{"x": 1}')
    few = {**names, "propertyNames": {"pattern": "^x"}}
    assert takes(few, '{"x": 1}')
    assert not accepts(json_grammar(few), '{"y"')[0]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"dependentRequired": {"a": ["b"]}}, "dependentRequired: not supported"),
        ({"if": {}, "then": {}, "else": {}}, "else, if, then: not supported"),
        ({"$ref": "http://elsewhere/x"}, "\\$ref: 'http://elsewhere/x' is not in the schema"),
        ({"pattern": "(?=a)"}, "pattern: look-around"),
    ],
)
def test_the_reason_names_the_keyword_in_one_line(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(ApiError, match=f"^response_format: this schema can't be enforced: {reason}[^\n]*$"):
        GRAMMARS.constraint(json_grammar(schema), "response_format")


@pytest.mark.model
def test_the_real_vocabulary(model_path: Any) -> None:
    from serving.checkpoint.checkpoint import load_checkpoint

    tokenizer = load_checkpoint(model_path).tokenizer
    for text in ("see <|endoftext|> here", "x <|im_start|>user", "<|im_end|>"):
        schema = {"type": "object", "properties": {"b": {"const": text}}, "required": ["b"]}
        assert spelled(json_grammar(schema), Grammars(tokenizer), tokenizer) == json.dumps({"b": text})
    grammars = Grammars(tokenizer)
    text = ' {"x": 123456}'
    constraint = grammars.constraint(arguments_grammar(FUNCTIONS[0]), "tools")
    assert walk(constraint, tokenizer.encode(text), tokenizer)
    assert constraint.finished
    constraint = grammars.constraint(auto_grammar(FUNCTIONS, None, 16), "tools")
    assert walk(constraint, tokenizer.encode('Héllo! 你好 <tool_call>\n{"name": "math'), tokenizer)
    assert not walk(constraint, tokenizer.encode("<|im_start|>"), tokenizer)
