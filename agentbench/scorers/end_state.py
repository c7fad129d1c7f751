"""Scorer of the state that an attempt's tools were left in."""

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.score import Score
from agentbench.scorers.expected import shown
from agentbench.trace import Trace

SHOWN = 5


class EndStateConfig(BaseModel):
    """Options of the `end_state` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field("state", description="Where in `expected` the state is.")
    absent: bool = Field(False, description="Pass when the state is not so: what must not have happened did not.")
    partial: bool = Field(
        False, description="Look only at what `expected` names; the rest of the state may be anything."
    )
    ignore: tuple[str, ...] = Field((), description="Paths (a.b.0.c) that don't matter; * stands for any text.")
    tolerance: float = Field(1e-9, ge=0, description="Difference of two numbers that is none.")


class EndStateScorer:
    """Passes when the tools' end state is `expected["state"]`. The reason names the first paths that differ."""

    Config = EndStateConfig
    name = "end_state"

    def __init__(self, config: EndStateConfig) -> None:
        self._config = config

    async def score(self, case: Case, trace: Trace) -> Score:
        key = self._config.key
        if not isinstance(case.expected, Mapping) or key not in case.expected:
            raise UserError(f"case {case.id!r}: expected = {shown(case.expected)}; end_state needs expected.{key}")
        found = [
            (path, said)
            for path, said in self._differences(case.expected[key], trace.state, ())
            if not any(fnmatchcase(path, pattern) for pattern in self._config.ignore)
        ]
        if self._config.absent:
            said = "it did not happen" if found else f"it happened: {shown(case.expected[key])}"
            return Score(name=self.name, value=float(bool(found)), passed=bool(found), reason=said)
        reason = "; ".join(f"{path or 'the state'}: {said}" for path, said in found[:SHOWN])
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return Score(
            name=self.name, value=float(not found), passed=not found, reason=reason + more if found else "as expected"
        )

    def _differences(self, expected: Any, state: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        if isinstance(expected, Mapping) and isinstance(state, Mapping):
            yield from self._of_mappings(expected, state, path)
        elif _is_list(expected) and _is_list(state) and len(expected) == len(state):
            for index, (one, other) in enumerate(zip(expected, state, strict=True)):
                yield from self._differences(one, other, (*path, str(index)))
        elif not self._equal(expected, state):
            yield ".".join(path), f"is {shown(state, 80)}, expected {shown(expected, 80)}"

    def _of_mappings(
        self, expected: Mapping[str, Any], state: Mapping[str, Any], path: tuple[str, ...]
    ) -> Iterator[tuple[str, str]]:
        for key, value in expected.items():
            if key in state:
                yield from self._differences(value, state[key], (*path, str(key)))
            else:
                yield ".".join((*path, str(key))), f"is not there, expected {shown(value, 80)}"
        if not self._config.partial:
            for key in state.keys() - expected.keys():
                yield ".".join((*path, str(key))), f"is {shown(state[key], 80)}, expected not to be there"

    def _equal(self, expected: Any, state: Any) -> bool:
        if _is_number(expected) and _is_number(state):
            return math.isclose(expected, state, rel_tol=0, abs_tol=self._config.tolerance)
        return type(expected) is type(state) and bool(expected == state)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
