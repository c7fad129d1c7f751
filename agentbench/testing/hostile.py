"""Hostile texts: a model may write any of them, and no component may crash on one."""

HOSTILE = {
    "nothing": "",
    "white space": " \n\t",
    "control characters": "\x00\x1b[31m\u202e\x7f",
    "an unpaired surrogate": "\ud800",
    "a million characters": "x" * 1_000_000,
    "nesting": "[" * 10_000,
    "half of an object": '{"a": [1, {"b": "',
    "invalid numbers": '{"a": NaN, "b": 1e999, "c": -0}',
    "a number of a thousand digits": "9" * 1000,
    "a null": "null",
    "thoughts": "<think>no</think>yes",
}
"""Texts by their description."""
