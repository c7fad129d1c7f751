"""Every number that is said of several runs: of each, and of each later one against the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agentbench.core.errors import UserError
from agentbench.core.run import Run
from agentbench.report.compare_view import CompareView, compare_sides, distinct, p_values, side_of
from agentbench.report.config_diff import flat
from agentbench.report.run_view import RunView
from agentbench.stats.hypothesis_tests import holm
from agentbench.store import Store

MOST = 8
"""Runs side by side."""

FRONTS: Mapping[str, int] = {"ttft_p95_s": -1, "agent_goodput_per_s": 1}
"""What quality is held against, and whether less (-1) or more (1) of it is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsView:
    """`comparisons` has each later run against the first (later − first, paired on case). `adjusted` has the p of
    each of their metrics, adjusted over all of them (Holm)."""

    runs: tuple[RunView, ...]
    comparisons: tuple[CompareView, ...]
    adjusted: tuple[Mapping[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Seconds, fractions and rates per second; `config_diff` and `titles` in the order of `runs`."""
        return {
            "runs": [run.to_json() for run in self.runs],
            "titles": [run.title for run in self.runs],
            "comparisons": [_compared(each) for each in self.comparisons],
            "p_adjusted": [dict(each) for each in self.adjusted],
            "config_diff": _config_diff(self.runs),
            "pareto": {metric: front(self.runs, metric) for metric in FRONTS},
        }


def _compared(view: CompareView) -> dict[str, Any]:
    return {
        "accuracy": view.passes.to_json(),
        "ttft_p50": view.ttft and asdict(view.ttft),
        "tpot_p50": view.tpot and asdict(view.tpot),
        "scores": {score.scorer: asdict(score) for score in view.scores},
        "notes": list(view.notes),
    }


def runs_view(store: Store, runs: Sequence[Run]) -> RunsView:
    """Two runs or more of one store. `UserError` for more than can be read side by side."""
    if not 2 <= len(runs) <= MOST:
        raise UserError(f"{len(runs)} runs to compare: expected 2 to {MOST}")
    sides = [side_of(store, run) for run in runs]
    comparisons = tuple(compare_sides(sides[0], side) for side in sides[1:])
    return RunsView(
        runs=tuple(distinct([side.view for side in sides])),
        comparisons=comparisons,
        adjusted=_adjusted(comparisons),
    )


def _adjusted(comparisons: Sequence[CompareView]) -> tuple[dict[str, float], ...]:
    found = [p_values(each.passes, each.ttft, each.tpot, each.scores) for each in comparisons]
    flat_p = {f"{place} {name}": p for place, each in enumerate(found) for name, p in each.items()}
    adjusted = holm(flat_p)
    return tuple({name: adjusted[f"{place} {name}"] for name in each} for place, each in enumerate(found))


def _config_diff(runs: Sequence[RunView]) -> dict[str, list[Any]]:
    """The paths in which not all agree, with the value of each run, None where it has none."""
    trees = [dict(flat(run.run.config)) for run in runs]
    paths = sorted({path for tree in trees for path in tree})
    return {
        path: [tree.get(path) for tree in trees] for path in paths if len({repr(tree.get(path)) for tree in trees}) > 1
    }


def front(runs: Sequence[RunView], metric: str) -> list[str]:
    """The ids of the runs that no other one is better than, in accuracy and in `metric` (Pareto)."""
    known = [(run, _point(run, metric)) for run in runs]
    points = [(run, point) for run, point in known if point is not None]
    return [run.run.id for run, point in points if not any(_dominates(other, point) for _, other in points)]


Point = tuple[float, float]


def _point(run: RunView, metric: str) -> Point | None:
    """Accuracy and the metric, both so that more is better."""
    value = getattr(run.serving, metric)
    return None if run.accuracy is None or value is None else (run.accuracy.value, FRONTS[metric] * value)


def _dominates(a: Point, b: Point) -> bool:
    return a != b and a[0] >= b[0] and a[1] >= b[1]
