"""Answers from a table of recorded results, in place of an engine: a search over many seeds takes seconds."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentbench.core.errors import UserError
from agentbench.suite.config import canonical_hash
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Figures, Measured, OutOfBudget
from tuners.space.configuration import Configuration
from tuners.space.space import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTable:
    """Scores [outer][case] of quality-affecting settings, and figures [outer][inner] under lossless knobs.

    `space` is the space as study.yaml has it; `outer` and `inner` enumerate its two parts, `clusters` has one entry
    a case. `replayed` is how many attempts were sent again for each figure.
    """

    space: Mapping[str, Any]
    replayed: int
    cases: tuple[str, ...]
    clusters: tuple[str, ...]
    outer: tuple[Settings, ...]
    inner: tuple[Settings, ...]
    scores: tuple[tuple[float, ...], ...]
    figures: tuple[tuple[Figures, ...], ...]

    def __post_init__(self) -> None:
        shapes = (
            len(self.clusters) == len(self.cases),
            len(self.scores) == len(self.figures) == len(self.outer),
            all(len(row) == len(self.cases) for row in self.scores),
            all(len(row) == len(self.inner) for row in self.figures),
        )
        if not all(shapes):
            raise UserError("the replay table's parts do not fit: scores [outer][case], figures [outer][inner]")

    @property
    def paths(self) -> tuple[frozenset[str], frozenset[str]]:
        """The paths of the outer and of the inner part."""
        return (
            frozenset(path for settings in self.outer for path in settings),
            frozenset(path for settings in self.inner for path in settings),
        )


def read_table(path: Path) -> ReplayTable:
    """From JSON, compressed by gzip."""
    data = json.loads(gzip.decompress(path.read_bytes()))
    return ReplayTable(
        space=data["space"],
        replayed=data["replayed"],
        cases=tuple(data["cases"]),
        clusters=tuple(data["clusters"]),
        outer=tuple(data["outer"]),
        inner=tuple(data["inner"]),
        scores=tuple(tuple(row) for row in data["scores"]),
        figures=tuple(tuple(row) for row in data["figures"]),
    )


class ReplayEvaluator:
    """Answers from a table, under settings that are applied over the `baseline`; the table's seeds are all the same.

    An answer given once is in the cache. Without `cache` only one given under the same knobs is: how a search does
    whose every candidate is run whole.
    """

    def __init__(self, table: ReplayTable, baseline: Settings | None = None, *, cache: bool = True) -> None:
        self._table = table
        self._baseline = baseline or {}
        self._cache = cache
        self._outer = {_key(settings): row for row, settings in enumerate(table.outer)}
        self._inner = {_key(settings): column for column, settings in enumerate(table.inner)}
        self._column = {case: index for index, case in enumerate(table.cases)}
        self._known: set[tuple[int, int, str, int]] = set()
        self._measured: set[tuple[int, int]] = set()

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        """A server that answers are given by has all of its settings."""
        whole = {**self._baseline, **settings}
        served = {path: value for path, value in whole.items() if path.startswith("serving.")}
        return Configuration(settings=settings, seed=seed or 0, answers=_key(whole), served=_key(served))

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        (row, inner), seed = self._place(configuration.settings), configuration.seed
        fresh = [case for case in cases if self._asked(row, inner, case, seed) not in self._known]
        left = fresh[allowance.case_runs :] if allowance.case_runs is not None else []
        made = [case for case in fresh if case not in left]
        self._known |= {self._asked(row, inner, case, seed) for case in made}
        scores = {case: self._table.scores[row][self._column[case]] for case in cases if case not in left}
        return Answers(
            scores=scores,
            attempts=len(scores),
            fresh=len(made),
            figures=self._table.figures[row][inner],
            complete=not left,
        )

    def _asked(self, row: int, inner: int, case: str, seed: int) -> tuple[int, int, str, int]:
        return row, 0 if self._cache else inner, case, seed

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        place = self._place({**configuration.settings, **lossless})
        replayed = 0 if place in self._measured else self._table.replayed
        if allowance.case_runs is not None and replayed > allowance.case_runs:
            raise OutOfBudget
        self._measured.add(place)
        return Measured(figures=self._table.figures[place[0]][place[1]], replayed=replayed)

    def made(self, configuration: Configuration, cases: Sequence[str]) -> int:
        row, inner = self._place(configuration.settings)
        return sum(self._asked(row, inner, case, configuration.seed) in self._known for case in cases)

    def spent(self) -> int:
        return len(self._known) + self._table.replayed * len(self._measured)

    def _place(self, settings: Settings) -> tuple[int, int]:
        outer_paths, inner_paths = self._table.paths
        whole = {**self._baseline, **settings}
        outer = _key({path: value for path, value in whole.items() if path in outer_paths})
        inner = _key({path: value for path, value in whole.items() if path in inner_paths})
        if outer not in self._outer or (inner not in self._inner and inner != _key({})):
            raise UserError(f"the replay table has no entry for {dict(settings)}")
        return self._outer[outer], self._inner.get(inner, 0)


def _key(settings: Settings) -> str:
    return canonical_hash(dict(settings))
