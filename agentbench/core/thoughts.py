"""Separates a model's thoughts from its answer.

A trace stores the full text. Everything that grades, shows or continues an answer uses the text without thoughts.
"""

import re

TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"))

OPENING = re.compile("|".join(re.escape(begin) for begin, _ in TAGS), re.IGNORECASE)
CLOSING = re.compile("|".join(re.escape(end) for _, end in TAGS), re.IGNORECASE)


def answer_in(text: str) -> str:
    """The text after its leading thoughts; the whole text when it has none.

    Thoughts stand between tags at the start of the text; several blocks may follow each other. When only a closing tag
    is there, the chat template opened the block, and all text before the tag is thought. Unclosed thoughts have no
    answer. Later tags are part of the answer.
    """
    rest = text
    while begun := OPENING.match(rest.lstrip()):
        rest = _behind(rest.lstrip()[begun.end() :], begun[0])
    if rest is text and (end := CLOSING.search(text)) and not OPENING.search(text, 0, end.start()):
        rest = text[end.end() :]
    return rest if rest is text else rest.lstrip()


def _behind(text: str, begun: str) -> str:
    """The text after the closing tag of the block that `begun` opened; empty when the block is unclosed."""
    end = next(end for begin, end in TAGS if begin.lower() == begun.lower())
    found = re.compile(re.escape(end), re.IGNORECASE).search(text)
    return text[found.end() :] if found else ""
