"""Prompts that chat templates make."""

from typing import Any

import pytest

from serving.openai.error import ApiError
from serving.openai.prompt import ChatTemplate

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
TOOL = {
    "type": "function",
    "function": {"name": "math.add", "description": "Adds.", "parameters": {"type": "object"}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "math.add", "arguments": '{"a": 1}'}}
HISTORY: list[dict[str, Any]] = [
    *HELLO,
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "one"},
    {"role": "tool", "tool_call_id": "call_2", "content": "two"},
]


def test_a_model_without_a_template_gets_chatml() -> None:
    assert ChatTemplate(None).render(HELLO) == ("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")


def test_blocks_are_trimmed_and_tokens_are_known_as_in_transformers() -> None:
    source = "{{ bos_token }}\n    {% for m in messages %}\n{{ m.content }}\n    {% endfor %}\n{{ eos_token }}"
    assert ChatTemplate(source, bos_token="<s>", eos_token="</s>").render(HELLO) == "<s>\nHello\n</s>"


def test_loop_controls_and_time_are_there() -> None:
    source = "{% for m in messages %}{% break %}{% endfor %}{{ strftime_now('%Y') | length }}"
    assert ChatTemplate(source).render(HELLO) == "4"


def test_tojson_escapes_neither_html_nor_other_scripts() -> None:
    source = "{{ tools[0].function.description | tojson }}{# tools #}"
    tool = {"type": "function", "function": {"name": "f", "description": "<é & 'x'>"}}
    assert ChatTemplate(source).render(HELLO, [tool]) == "\"<é & 'x'>\""


def test_a_template_with_tools_gets_arguments_as_an_object() -> None:
    source = "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}"
    source += "{% endfor %}{{ tools | length }}"
    assert ChatTemplate(source).render(HISTORY, [TOOL]) == '{"a": 1}1'


def test_a_template_without_tools_gets_them_as_text() -> None:
    prompt = ChatTemplate(None).render([{"role": "system", "content": "Be brief."}, *HISTORY], [TOOL])
    system, rest = prompt.split("<|im_end|>\n", 1)
    assert system.startswith("<|im_start|>system\nBe brief.\n\nYou may call")
    assert '\n{"name": "math.add", "description": "Adds.", "parameters": {"type": "object"}}\n' in system
    assert '<tool_call>\n{"name": <function-name>, "arguments": <arguments-object>}\n</tool_call>' in system
    assert rest == (
        "<|im_start|>user\nHello<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "math.add", "arguments": {"a": 1}}\n</tool_call>'
        "<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\none\n</tool_response>\n"
        "<tool_response>\ntwo\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_tools_without_a_system_message_make_one() -> None:
    assert ChatTemplate(None).render(HELLO, [TOOL]).startswith("<|im_start|>system\nYou may call")


def test_what_a_template_refuses_is_the_clients_error() -> None:
    source = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ApiError, match="refuses these messages: roles must alternate"):
        ChatTemplate(source).render(HELLO)


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    ],
)
def test_a_template_does_not_leave_the_sandbox(escape: str) -> None:
    with pytest.raises(ApiError) as refused:
        ChatTemplate(escape).render(HELLO)
    assert refused.value.status == 400


def test_a_template_that_is_none_is_found_at_once() -> None:
    with pytest.raises(ValueError, match="chat template is not valid"):
        ChatTemplate("{% for %}")


def test_what_a_model_is_trained_on_is_marked_in_published_templates() -> None:
    source = "{% for m in messages %}{% generation %}{{ m.content }}{{ '!' }}{% endgeneration %}{% endfor %}"
    assert ChatTemplate(source).render(HELLO) == "Hello!"


BOUNDLESS = [
    "{{ 'a' * 3000000000 }}",
    "{{ 3000000000 * 'a' }}",
    "{{ [1] * 3000000000 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ (9 ** 1000) * (9 ** 1000) }}",
    "{{ 'a' | center(3000000000) }}",
    "{{ 'a' | indent(3000000000, true) }}",
    "{{ 'a'.ljust(3000000000) }}",
    "{{ 'a'.zfill(width) }}",
    "{{ '\t'.expandtabs(3000000000) }}",
    "{{ '%3000000000d' % 1 }}",
    "{{ '%*d' % (3000000000, 1) }}",
    "{{ '%3000000000d' | format(1) }}",
    "{{ '{:>3000000000}'.format(1) }}",
    "{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = ns.s.replace('a', ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = ns.s | replace('a', ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = [ns.s, ns.s] | join %}{% endfor %}",
    "{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = ns.s.join([ns.s, ns.s]) %}{% endfor %}",
    "{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = '%s%s' % (ns.s, ns.s) %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% set big = 'a' * 9999999 %}{% for a in range(99999) %}{{ big }}{% endfor %}",
    "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "{{ range(3000000000) | list }}",
    "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
    "{{ " + "[" * 500 + "]" * 500 + " }}",
    "a" * 2_000_000,
]


@pytest.mark.long
@pytest.mark.parametrize("source", BOUNDLESS, ids=range(len(BOUNDLESS)))
def test_a_template_that_would_take_all_memory_or_all_time_is_one_line(source: str) -> None:
    """At load a ValueError, while rendering the client's error; nothing is computed at load."""
    with pytest.raises((ValueError, ApiError)) as refused:
        ChatTemplate("{% set width = 3000000000 %}" + source).render(HELLO)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("arguments", ["[" * 2000, '{"s": "\\ud800"}', "{", ""])
def test_any_arguments_of_a_call_that_is_sent_again_are_rendered(arguments: str) -> None:
    source = "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments }}{% endfor %}{% endfor %}"
    call = {**CALL, "function": {"name": "f", "arguments": arguments}}
    turns = [*HELLO, {"role": "assistant", "tool_calls": [call]}]
    assert ChatTemplate(source + "{{ '' if tools else ' ' }}").render(turns, [TOOL]) == arguments
    ChatTemplate(None).render(turns, [TOOL])


def test_a_lone_surrogate_of_a_template_is_told() -> None:
    with pytest.raises(ApiError, match="unpaired surrogate"):
        ChatTemplate("{{ '\\ud800' }}").render(HELLO)
