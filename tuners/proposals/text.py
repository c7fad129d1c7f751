"""An instruction out of what a model wrote, which may be wrapped, endless or nothing."""

import re

from agentbench.core.thoughts import answer_in

MOST = 1200
"""Characters of an instruction; a small model may go on for ever."""

CONTROL = re.compile(r"<\|[^|>\n]{1,40}\|>|[\x00-\x08\x0b-\x1f\x7f]")
FENCED = re.compile(r"```[\w-]*\n(.*?)(?:```|\Z)", re.DOTALL)
LABEL = re.compile(
    r"\A(?:(?:sure|certainly|of course|okay)[^\n:]*[!.:]\s*)?"
    r"(?:here(?:'s| is)[^\n:]*:|\**(?:the )?(?:new |improved |better |revised )?instructions?\**\s*:\**)\s*",
    re.IGNORECASE,
)
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("«", "»"), ("`", "`"), ("**", "**"))


def cleaned(text: str) -> str:
    """The instruction without what is put around it, each line once, at most `MOST` characters; "" for nothing."""
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    text = CONTROL.sub("", answer_in(text)).strip()
    if fenced := FENCED.search(text):
        text = fenced[1].strip()
    text = _unquoted(LABEL.sub("", text).strip())
    lines = dict.fromkeys(line.rstrip() for line in text.splitlines() if line.strip())
    text = _cut("\n".join(lines).strip())
    return text if any(character.isalpha() for character in text) else ""


def _unquoted(text: str) -> str:
    for begin, end in QUOTES:
        if len(text) > len(begin + end) and text.startswith(begin) and text.endswith(end):
            inner = text[len(begin) : -len(end)]
            return text if begin in inner or end in inner else inner.strip()
    return text


def _cut(text: str) -> str:
    """The text up to the last sentence or line that ends within `MOST` characters, or else the last word."""
    if len(text) <= MOST:
        return text
    kept = text[:MOST]
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s)|\n", kept)]
    return kept[: ends[-1]].strip() if ends else kept.rpartition(" ")[0].strip() or kept
