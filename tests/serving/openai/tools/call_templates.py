"""Chat templates that show calls as the published ones of each family do, in as few lines."""

from collections.abc import Mapping

_LOOP = """\
{{%- if tools %}}<|im_start|>system
Tools: {{{{ tools | tojson }}}}<|im_end|>
{{% endif %}}
{{%- for message in messages %}}
{{{{- '<|im_start|>' + message.role + '\\n' }}}}
{{%- if message.tool_calls %}}{calls}
{{%- elif message.content %}}{{{{- message.content }}}}
{{%- endif %}}
{{{{- '<|im_end|>\\n' }}}}
{{%- endfor %}}
{{%- if add_generation_prompt %}}{{{{- '<|im_start|>assistant\\n' }}}}{{%- endif %}}
"""


def _each(call: str, between: str = "") -> str:
    separator = f"{{%- if not loop.last %}}{{{{- {between!r} }}}}{{%- endif %}}" if between else ""
    return f"{{%- for call in message.tool_calls %}}{{%- set f = call.function %}}{call}{separator}{{%- endfor %}}"


_SINGLE = "{%- if message.tool_calls | length != 1 %}{{- raise_exception('one call at a time') }}{%- endif %}"

TEMPLATES: Mapping[str, str] = {
    name: _LOOP.format(calls=calls)
    for name, calls in {
        "hermes": _each(
            """{{- '\\n<tool_call>\\n{"name": "' + f.name + '", "arguments": ' }}"""
            """{{- f.arguments | tojson + '}\\n</tool_call>' }}"""
        ),
        "llama": _SINGLE + _each("""{{- '{"name": "' + f.name + '", "parameters": ' + f.arguments | tojson + '}' }}"""),
        "mistral": "{{- '[TOOL_CALLS] [' }}"
        + _each("""{{- (f | tojson)[:-1] + ', "id": "' + call.id[-9:] + '"}' }}""", ", ")
        + "{{- ']' }}",
        "mistral-named": _each("{{- '[TOOL_CALLS]' + f.name + '[ARGS]' + f.arguments | tojson }}"),
        "text": _each("""{{- '{"name": "' + f.name + '", "arguments": ' + f.arguments + '}' }}""", ","),
        "deepseek": "{{- '<｜calls｜>' }}"
        + _each("{{- '<｜call｜>' + f.name + '<｜sep｜>' + f.arguments + '<｜end▁call｜>' }}")
        + "{{- '<｜end▁calls｜>' }}",
        "granite": "{{- '<|tool_call|>[' }}" + _each("{{- f | tojson }}", ", ") + "{{- ']' }}",
        "nested": _each("""{{- '<tool_call>' + {"type": "function", "function": f} | tojson + '</tool_call>' }}"""),
        "python": "{{- '[' }}"
        + _each(
            "{{- f.name + '(' }}{%- for key, value in f.arguments.items() %}{{- key + '=' + value | string }}"
            "{%- if not loop.last %}{{- ', ' }}{%- endif %}{%- endfor %}{{- ')' }}",
            ", ",
        )
        + "{{- ']' }}",
        "tagged-python": "{{- '<|tool_call_start|>[' }}"
        + _each(
            "{{- f.name + '(' }}{%- for key, value in f.arguments.items() %}"
            """{{- key + '=' + ("'" + value + "'" if value is string else value | string) }}"""
            "{%- if not loop.last %}{{- ', ' }}{%- endif %}{%- endfor %}{{- ')' }}",
            ", ",
        )
        + "{{- ']<|tool_call_end|>' }}",
        "xml": _each(
            "{{- '\\n<tool_call>\\n<function=' + f.name + '>\\n' }}{%- for key, value in f.arguments.items() %}"
            "{{- '<parameter=' + key + '>\\n' + (value if value is string else value | tojson) }}"
            "{{- '\\n</parameter>\\n' }}"
            "{%- endfor %}{{- '</function>\\n</tool_call>' }}"
        ),
        "keys": _each(
            "{{- '\\n<tool_call>' + f.name }}{%- for key, value in f.arguments.items() %}"
            "{{- '\\n<arg_key>' + key + '</arg_key>\\n<arg_value>' + (value if value is string else value | tojson) }}"
            "{{- '</arg_value>' }}{%- endfor %}{{- '\\n</tool_call>' }}"
        ),
        "gemma": _each(
            "{{- '<start_function_call>call:' + f.name + '{' }}{%- for key, value in f.arguments.items() %}"
            "{{- key + ':' + ('<escape>' + value + '<escape>' if value is string else value | tojson) }}"
            "{%- if not loop.last %}{{- ',' }}{%- endif %}{%- endfor %}{{- '}<end_function_call>' }}"
        ),
    }.items()
}
