"""What a case expects of one scorer, where several read the same `expected`."""

from collections.abc import Mapping
from typing import Any

from agentbench.case import Case


def expected_of(case: Case, key: str) -> Any:
    """`expected[key]` where `expected` is a mapping that has it, else `expected` itself."""
    if isinstance(case.expected, Mapping) and key in case.expected:
        return case.expected[key]
    return case.expected


def shown(value: Any, limit: int = 200) -> str:
    """A value for a reason: quoted, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
