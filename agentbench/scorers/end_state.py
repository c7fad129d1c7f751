"""The `end_state` scorer: compares the tools' end state with the expected one, and names each difference by path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import Trace
from agentbench.scorers.expected import LIMIT, brief, cut_middle, is_close

Path = tuple[str, ...]
"""Keys and indices from the root, all as text; `*` in a pattern stands for any one of them."""


class Absent:
    """Represents a missing value, which differs from null."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One path at which the values differ."""

    path: Path
    expected: Any
    found: Any

    def __str__(self) -> str:
        where = cut_middle(shown_path(self.path), LIMIT, " … ")
        return f"{where}: expected {brief(self.expected)}, got {brief(self.found)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What does not count as a difference: an ignored path, a number within the tolerance, and (when `partial`) a key
    that only the found value has.
    """

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
    """The value at `path`; `ABSENT` when there is none."""
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
    """The number of compared values that contain no others; an empty object or list counts as one."""
    if matches(path, rules.ignored):
        return 0
    inside = _inside(value)
    return sum(leaves(inner, (*path, key), rules) for key, inner in inside) if inside else 1


def differences(expected: Any, found: Any, path: Path, rules: Rules) -> Iterator[Difference]:
    """Every path at which `found` differs from `expected`: in the order of `expected`, then the surplus values."""
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
    """1 and 1.0 are equal, 1 and true are not; containers are passed only when their kinds differ."""
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in (expected, found)]
    if not all(numbers):
        return type(expected) is type(found) and bool(expected == found)
    return bool(expected == found) or is_close(expected, found, absolute=tolerance)


SHOWN = 3
"""Differences that a reason names."""


class EndStateConfig(BaseModel):
    """Options of the `end_state` scorer. A path is dotted (`orders.0.status`) or a JSON pointer (`/orders/0/status`);
    `*` stands for every key or index."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field("state", description="The key of `expected` with the state.")
    absent: bool = Field(False, description="Pass if the state is not this one: something forbidden did not happen.")
    partial: bool = Field(False, description="Compare only what `expected` names; the rest may be anything.")
    paths: tuple[str, ...] = Field((), description="Compare only these paths; all by default.")
    ignore: tuple[str, ...] = Field((), description="Leave these paths out.")
    tolerance: float = Field(
        1e-9, ge=0, allow_inf_nan=False, description="Absolute difference at which numbers are still equal."
    )


class EndStateScorer:
    """Passes when the tools' end state equals `expected["state"]`; the score is the share of equal values."""

    Config = EndStateConfig
    name: str = "end_state"

    def __init__(self, config: EndStateConfig) -> None:
        self._config = config
        self._paths = tuple(map(parse_path, config.paths)) or ((),)
        ignored = tuple(map(parse_path, config.ignore))
        self._rules = Rules(ignored=ignored, tolerance=config.tolerance, partial=config.partial)

    def check(self, case: Case) -> None:
        expected = self._expected(case)
        compared = [(picked(expected, path), path) for path in self._compared(case, expected)]
        nothing = self._config.partial and all(value == {} for value, _ in compared)
        if nothing or not sum(leaves(value, path, self._rules) for value, path in compared):
            raise UserError(
                f"case {case.id!r}: expected.{self._config.key} = {brief(expected)}: it compares nothing, so any"
                " state would pass; name what must be there"
            )

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = self._expected(case)
        paths = self._compared(case, expected)
        found = [
            each
            for path in paths
            for each in differences(picked(expected, path), picked(trace.state, path), path, self._rules)
        ]
        if self._config.absent:
            reason = "it did not happen" if found else f"it happened: {brief(expected)}"
            return Score(name=self.name, value=float(bool(found)), passed=bool(found), reason=reason)
        total = sum(leaves(picked(expected, path), path, self._rules) for path in paths)
        wrong = sum(leaves(each.expected, each.path, self._rules) for each in found)
        value = max(0.0, 1 - wrong / max(total, 1))
        return Score(name=self.name, value=value, passed=not found, reason=_reason(found, trace.state))

    def _expected(self, case: Case) -> Any:
        key = self._config.key
        if not isinstance(case.expected, Mapping) or key not in case.expected:
            raise UserError(f"case {case.id!r}: expected = {brief(case.expected)}; end_state needs expected.{key}")
        return case.expected[key]

    def _compared(self, case: Case, expected: Any) -> list[Path]:
        """The option's paths; a path with `*` is expanded to each key of the expected state."""
        paths = [found for path in self._paths for found in _expanded(expected, path, ())]
        if not paths:
            raise UserError(f"case {case.id!r}: expected.{self._config.key} has nothing at the scorer's paths")
        return list(dict.fromkeys(paths))


def _expanded(value: Any, path: Path, before: Path) -> list[Path]:
    if "*" not in path:
        return [(*before, *path)]
    star = path.index("*")
    head, rest = (*before, *path[:star]), path[star + 1 :]
    inner = picked(value, path[:star])
    keys = list(inner) if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
    return [found for key in keys for found in _expanded(picked(inner, (str(key),)), rest, (*head, str(key)))]


def _reason(found: list[Difference], state: Any) -> str:
    if not found:
        return "as expected"
    if state is None:
        return "the tools kept no state"
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(map(str, found[:SHOWN])) + more
