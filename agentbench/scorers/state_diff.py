"""Where two JSON values differ, told by path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agentbench.scorers.brief import LIMIT, brief, cut_middle
from agentbench.scorers.closeness import is_close

Path = tuple[str, ...]
"""Keys and indices from the root, all as text; `*` in a pattern stands for any one of them."""


class Absent:
    """Stands where there is no value, which is not the same as null."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where the values differ."""

    path: Path
    expected: Any
    found: Any

    def __str__(self) -> str:
        where = cut_middle(shown_path(self.path), LIMIT, " … ")
        return f"{where}: expected {brief(self.expected)}, got {brief(self.found)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as a difference: not what is at an ignored path, nor a number off by the tolerance, nor (when
    `partial`) a key that only the found value has."""

    ignored: Sequence[Path] = ()
    tolerance: float = 0.0
    partial: bool = False


def parse_path(text: str) -> Path:
    """`a.0.b`, or the JSON pointer `/a/0/b` (RFC 6901: `~1` is a slash, `~0` a tilde); empty is the root."""
    if text.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))
    return tuple(text.removeprefix("$.").split(".")) if text not in ("", "$") else ()


def shown_path(path: Path) -> str:
    return "$" + "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in path)


def picked(value: Any, path: Path) -> Any:
    """What is at `path`, `ABSENT` when nothing is."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key, ABSENT)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 10 and int(key) < len(value):
            value = value[int(key)]
        else:
            return ABSENT
    return value


def matches(path: Path, patterns: Sequence[Path]) -> bool:
    return any(
        len(path) == len(pattern) and all(want in ("*", key) for key, want in zip(path, pattern, strict=True))
        for pattern in patterns
    )


def leaves(value: Any, path: Path, rules: Rules) -> int:
    """How many values that hold no others are compared; an empty object or list is one."""
    if matches(path, rules.ignored):
        return 0
    inside = _inside(value)
    return sum(leaves(inner, (*path, key), rules) for key, inner in inside) if inside else 1


def differences(expected: Any, found: Any, path: Path, rules: Rules) -> Iterator[Difference]:
    """Every place where `found` is not as `expected`: in the order of `expected`, then what is too much."""
    if matches(path, rules.ignored):
        return
    if _same_container(expected, found):
        left, right = dict(_inside(expected)), dict(_inside(found))
        extra = () if rules.partial and isinstance(expected, dict) else [key for key in right if key not in left]
        for key in [*left, *extra]:
            yield from differences(left.get(key, ABSENT), right.get(key, ABSENT), (*path, key), rules)
    elif not _equal(expected, found, rules.tolerance):
        yield Difference(path=path, expected=expected, found=found)


def _same_container(a: Any, b: Any) -> bool:
    return (isinstance(a, dict) and isinstance(b, dict)) or (isinstance(a, list) and isinstance(b, list))


def _inside(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(str(key), inner) for key, inner in value.items()]
    if isinstance(value, list):
        return [(str(index), inner) for index, inner in enumerate(value)]
    return []


def _equal(expected: Any, found: Any, tolerance: float) -> bool:
    """1 and 1.0 are equal, 1 and true are not; containers come here only when their kinds differ."""
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in (expected, found)]
    if not all(numbers):
        return type(expected) is type(found) and bool(expected == found)
    return bool(expected == found) or is_close(expected, found, absolute=tolerance)
