"""What a case expects of one scorer, where several read the same `expected`."""

from collections.abc import Mapping
from typing import Any

from agentbench.case import Case


def expected_of(case: Case, *keys: str) -> Any:
    """What a mapping `expected` has under the first of the keys that is in it, else `expected` itself.

    The keys are a scorer's name in the suite (its `as`) and then that of its kind.
    """
    if isinstance(case.expected, Mapping):
        for key in keys:
            if key in case.expected:
                return case.expected[key]
    return case.expected


def shown(value: Any, limit: int = 200) -> str:
    """A value for a reason: quoted, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
