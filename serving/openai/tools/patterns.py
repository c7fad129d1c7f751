"""Regular expressions of what a call may look like: complete, or as far as it has come."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import product

from serving.openai.tools.format import ANY_ID, KeyedArguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """One format as regular expressions. White space may be written in other ways than the template does."""

    name: re.Pattern[str]
    may_be_name: re.Pattern[str]
    next_name: re.Pattern[str]
    may_be_next_name: re.Pattern[str]
    between: re.Pattern[str]
    may_be_between: re.Pattern[str]
    after: re.Pattern[str]
    may_be_after: re.Pattern[str]


_SPACE = r"\s*+"  # possessive: a model that writes nothing but white space must not cost quadratic time
_BARE_NAME = r"(?P<name>[^\s\"<>(){}\[\],:=]{1,128}+)"
_JSON_NAME = r'(?P<name>(?:[^"\\]|\\.){0,512}+)'
_MORE_KEYS = r"(?:,[^{}]{0,256})?"
"""Other keys of a call's object after its arguments, such as an id."""


@lru_cache(64)
def patterns_of(before: str, middle: str, between: str, after: str, tag: str) -> Patterns:
    name = (_JSON_NAME,) if before.endswith('"') else (_SPACE, _BARE_NAME)
    rest = (*name, *_lenient(middle), _SPACE, r"(?=\S)")
    opened = (_SPACE, *_lenient(before.removeprefix(tag)), *rest)
    more = (_SPACE, _MORE_KEYS, _SPACE) if after.startswith("}") else (_SPACE,)
    return Patterns(
        name=_joined(opened),
        may_be_name=re.compile(_beginnings(opened)),
        next_name=_joined(rest),
        may_be_next_name=re.compile(_beginnings(rest)),
        between=_joined((*more, *_lenient(between))) if between else _NEVER,
        may_be_between=re.compile(_beginnings((*more, *_lenient(between)))) if between else _NEVER,
        after=_joined((*more, *_lenient(after))),
        may_be_after=re.compile(_beginnings((*more, *_lenient(after)))),
    )


@lru_cache(64)
def key_patterns(notation: KeyedArguments) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A separator, a key and what follows it; and what that may begin with."""
    separator = [f"(?:{''.join(_lenient(notation.separator))})?"] if notation.separator else []
    is_text = notation.literals == "json" and not notation.quote
    # White space at the beginning of a text belongs to it, but for what the format writes itself.
    middle = notation.middle.rstrip("\n") if is_text else notation.middle
    line = [r"\n?", r"(?=.)"] if middle != notation.middle else [] if is_text else [_SPACE]
    key = _BARE_NAME.replace("name", "key")
    atoms = (
        _SPACE,
        *separator,
        _SPACE,
        *_lenient(notation.opening),
        _SPACE,
        key,
        *_lenient(middle, around=False),
        *line,
    )
    return re.compile("".join(atoms), re.DOTALL), re.compile(_beginnings(atoms), re.DOTALL)


def _lenient(literal: str, *, around: bool = True) -> list[str]:
    """The literal as atoms of a pattern: any white space, braces that may be doubled, both names of the arguments."""
    atoms: list[str] = []
    for piece in _PIECES.findall(literal):
        atom = _SPACE if piece.isspace() else _ATOMS.get(piece) or re.escape(piece)
        spaced = around and piece in _PUNCTUATION
        for each in (_SPACE, atom, _SPACE) if spaced else (atom,):
            if each != _SPACE or atoms[-1:] != [_SPACE]:
                atoms.append(each)
    return atoms


_PIECES = re.compile(r'\s+|"(?:arguments|parameters)"|\}+|.', re.DOTALL)
_ATOMS = {"{": r"\{\{?", **{"}" * count: r"\}+" for count in range(1, 9)}}
_ATOMS[ANY_ID] = r"[\w-]{1,64}+"
_ARGUMENTS = '"(?:arguments|parameters)"'
_ATOMS |= dict.fromkeys(('"arguments"', '"parameters"'), _ARGUMENTS)
_PUNCTUATION = frozenset(("{", "[", "]", ":", ",", *("}" * count for count in range(1, 9))))
_PARTS = {_ARGUMENTS: ('"', "[a-z]{0,10}", '"'), _JSON_NAME: (_JSON_NAME, r"\\?")}
"""Atoms of which a part may have come: half a word, half an escape."""
_NEVER = re.compile(r"(?!)")


def _joined(atoms: Iterable[str]) -> re.Pattern[str]:
    return re.compile("".join(atoms))


def _beginnings(atoms: Iterable[str]) -> str:
    """A pattern of what the sequence of atoms may begin with, from nothing to all of it."""
    parts = [part for atom in atoms for part in _PARTS.get(atom, (atom,))]
    return reduce(lambda rest, part: f"(?:{part}{rest})?", reversed(parts), "")


LINE = re.compile(r"(?:\A|\n)\s*")
"""Where a line begins, with the white space up to its first character."""
BETWEEN = re.compile(r"(?:\A|\n)[\s,\]]*")
"""The same between calls, which may be elements of an array."""
_FENCE = ("`", "`", "`", "[a-z_]{0,32}", r"\s*")
_ARRAY = (r"\[", r"\s*")
_HEAD = (r"\{\{?", r"\s*", *'"name"', r"\s*", ":", r"\s*", '"', r'[^"\\]{0,128}', '"', r"\s*", ",", r"\s*")
_KEYS = ('"arguments"', '"parameters"')
_TYPE = (*'"type"', r"\s*", ":", r"\s*", *'"function"', r"\s*", ",", r"\s*")
"""Llama 3 often writes a function's type before its name."""
UNTAGGED = re.compile(
    r'(?:```[a-z_]{0,32}\s*)?(?:\[\s*)?\{\{?\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"(?P<name>[^"\\]{0,128})"\s*,'
    r'\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
MAY_BE_UNTAGGED = re.compile(
    "|".join(
        _beginnings((*fence, *array, *_HEAD[:2], *type_, *_HEAD[2:], *key, r"\s*", ":", r"\s*"))
        for fence, array, type_, key in product(((), _FENCE), ((), _ARRAY), ((), _TYPE), _KEYS)
    )
)
