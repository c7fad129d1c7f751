"""Where a model's text parts into what it thought and what it answered: the one place that says so.

A trace keeps the text as it came; what grades, judges, shows or goes on with an answer takes it without the thoughts.
"""

import re

TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"))

OPENING = re.compile("|".join(re.escape(begin) for begin, _ in TAGS), re.IGNORECASE)
CLOSING = re.compile("|".join(re.escape(end) for _, end in TAGS), re.IGNORECASE)


def answer_in(text: str) -> str:
    """The text behind the thoughts that it begins with, as it is where it begins with none.

    Thoughts stand between tags at the very start, several in turn too. Where only the end of them is there, the chat
    template had begun them: all before it is thought. Thoughts that were cut off are followed by no answer. Tags that
    come later are part of the answer.
    """
    rest = text
    while begun := OPENING.match(rest.lstrip()):
        rest = _behind(rest.lstrip()[begun.end() :], begun[0])
    if rest is text and (end := CLOSING.search(text)) and not OPENING.search(text, 0, end.start()):
        rest = text[end.end() :]
    return rest if rest is text else rest.lstrip()


def _behind(text: str, begun: str) -> str:
    """What follows the end of the thoughts that `begun` began; nothing when they have no end."""
    end = next(end for begin, end in TAGS if begin.lower() == begun.lower())
    found = re.compile(re.escape(end), re.IGNORECASE).search(text)
    return text[found.end() :] if found else ""
