"""Text that others wrote, made harmless to a terminal."""

import re

# CSI and OSC sequences, then any other escape of two characters.
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b.?", re.DOTALL)
# C0 but tab and newline, DEL, C1, overrides of direction, invisible separators and the byte order mark.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    """`text` without escape sequences, control and direction characters; a lone surrogate is U+FFFD."""
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", _SEQUENCES.sub("", text)))


def line(text: str) -> str:
    """`text` on one line."""
    return " ".join(plain(text).split())
