"""Prompts that chat templates make."""

from typing import Any

import pytest

from serving.api_error import ApiError
from serving.chat_template import ChatTemplate

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
