"""Sanitizes text from outside (a model's answer, a case) for printing on a terminal."""

import re

# CSI and OSC sequences, then any other escape of two characters.
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b.?", re.DOTALL)
# C0 except tab and newline, DEL, C1, direction overrides, invisible separators and the byte order mark.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    """`text` without escape sequences, control characters and direction overrides; a lone surrogate becomes U+FFFD."""
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", _SEQUENCES.sub("", text)))


def line(text: str) -> str:
    """`plain(text)` on one line: every run of whitespace becomes one space."""
    return " ".join(plain(text).split())
