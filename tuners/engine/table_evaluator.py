"""An evaluator that reads a table of recorded results instead of running an engine, so that a search takes seconds."""

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

    `space` is the study.yaml's space; `outer` and `inner` list the settings of its two parts. `clusters` has one entry
    per case. `replayed` is the number of attempts that were replayed for each figure. `UserError` when the shapes do
    not fit.
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
            raise UserError(
                "the replay table's shapes do not fit: expected scores [outer][case], figures [outer][inner]"
            )

    @property
    def paths(self) -> tuple[frozenset[str], frozenset[str]]:
        """The paths of the outer settings, and those of the inner ones."""
        return (
            frozenset(path for settings in self.outer for path in settings),
            frozenset(path for settings in self.inner for path in settings),
        )


def read_table(path: Path) -> ReplayTable:
    """The table in a gzip-compressed JSON file."""
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
    """Answers from a table, with settings applied over the `baseline`; every seed has the same scores.

    With `cache`, candidates that differ in lossless knobs alone share their answers. Without it they do not, as in a
    search that runs every candidate in full.
    """

    def __init__(self, table: ReplayTable, baseline: Settings | None = None, *, cache: bool = True) -> None:
        self._table = table
        self._baseline = baseline or {}
        self._cache = cache
        self._outer = {_key(settings): row for row, settings in enumerate(table.outer)}
        self._inner = {_key(settings): column for column, settings in enumerate(table.inner)}
        self._column = {case: index for index, case in enumerate(table.cases)}
        self._answered: set[tuple[int, int, str, int]] = set()
        self._measured: set[tuple[int, int]] = set()

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        """As for a live evaluator; all settings under `serving` belong to the server."""
        merged = {**self._baseline, **settings}
        served = {path: value for path, value in merged.items() if path.startswith("serving.")}
        return Configuration(settings=settings, seed=seed or 0, answers=_key(merged), served=_key(served))

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        (row, inner), seed = self._place(configuration.settings), configuration.seed
        fresh = [case for case in cases if self._cache_key(row, inner, case, seed) not in self._answered]
        left = fresh[allowance.case_runs :] if allowance.case_runs is not None else []
        ran = [case for case in fresh if case not in left]
        self._answered |= {self._cache_key(row, inner, case, seed) for case in ran}
        scores = {case: self._table.scores[row][self._column[case]] for case in cases if case not in left}
        return Answers(
            scores=scores,
            attempts=len(scores),
            fresh=len(ran),
            figures=self._table.figures[row][inner],
            complete=not left,
        )

    def _cache_key(self, row: int, inner: int, case: str, seed: int) -> tuple[int, int, str, int]:
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

    def attempts_run(self, configuration: Configuration, cases: Sequence[str]) -> int:
        row, inner = self._place(configuration.settings)
        return sum(self._cache_key(row, inner, case, configuration.seed) in self._answered for case in cases)

    def spent(self) -> int:
        return len(self._answered) + self._table.replayed * len(self._measured)

    def _place(self, settings: Settings) -> tuple[int, int]:
        """The settings' row and column in the table; `UserError` when it has none."""
        outer_paths, inner_paths = self._table.paths
        merged = {**self._baseline, **settings}
        outer = _key({path: value for path, value in merged.items() if path in outer_paths})
        inner = _key({path: value for path, value in merged.items() if path in inner_paths})
        if outer not in self._outer or (inner not in self._inner and inner != _key({})):
            raise UserError(f"the replay table has no entry for {dict(settings)}")
        return self._outer[outer], self._inner.get(inner, 0)


def _key(settings: Settings) -> str:
    return canonical_hash(dict(settings))
