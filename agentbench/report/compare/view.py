"""Every number that is said of several runs side by side: of each, and of each later one against the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from agentbench.core.errors import UserError
from agentbench.core.run import Run, changed_parts
from agentbench.gate.baseline import stored_outcomes
from agentbench.report.config_diff import ConfigChange, config_diff, flat
from agentbench.report.run.view import RunView, short_id, view_of
from agentbench.stats import Outcome, PairedComparison, compare_passes
from agentbench.stats.comparison import PairedShift, ScoreComparison, compare_latency, compare_scores, graded_scorers
from agentbench.stats.hypothesis_tests import holm
from agentbench.stats.intervals import LEAST_CLUSTERS
from agentbench.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareView:
    """Run `a` and a later run `b`; every difference is the change from `a` to `b`, b − a, paired on case.

    `scores` are those of graded scorers. `adjusted` has every metric's p, adjusted for there being several (Holm):
    `pass_rate`, `ttft_p50`, `tpot_p50` and each scorer, as `score:NAME`. `notes` say what limits the comparison.
    """

    a: RunView
    b: RunView
    passes: PairedComparison
    ttft: PairedShift | None
    tpot: PairedShift | None
    scores: tuple[ScoreComparison, ...]
    adjusted: Mapping[str, float]
    changes: tuple[ConfigChange, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Both runs as `RunView.to_json`, and the paired differences (b − a; seconds; fractions)."""
        return {
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "accuracy": self.passes.to_json(),
            "ttft_p50": self.ttft and asdict(self.ttft),
            "tpot_p50": self.tpot and asdict(self.tpot),
            "scores": {score.scorer: asdict(score) for score in self.scores},
            "p_adjusted": dict(self.adjusted),
            "config_diff": {change.path: {"a": change.a, "b": change.b} for change in self.changes},
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A run of a comparison: what is said of it, and the outcomes that are paired."""

    view: RunView
    outcomes: Sequence[Outcome]


def side_of(store: Store, run: Run) -> Side:
    """A stored run as far as it has come."""
    outcomes = stored_outcomes(store, run.id)
    return Side(view=view_of(run, outcomes), outcomes=outcomes)


def compare_view(store: Store, a: Run, b: Run) -> CompareView:
    """Two stored runs compared, as far as they have come: what changed from `a` to `b`."""
    return compare_sides(side_of(store, a), side_of(store, b))


def compare_sides(a: Side, b: Side) -> CompareView:
    view_a, view_b = distinct([a.view, b.view])
    passes = _passes(a.outcomes, b.outcomes)
    ttft, tpot = (compare_latency(b.outcomes, a.outcomes, metric) for metric in ("ttft", "tpot"))
    scores = _scores(a.outcomes, b.outcomes)
    return CompareView(
        a=view_a,
        b=view_b,
        passes=passes,
        ttft=ttft,
        tpot=tpot,
        scores=scores,
        adjusted=holm(p_values(passes, ttft, tpot, scores)),
        changes=config_diff(a.view.run.config, b.view.run.config),
        notes=tuple(_notes(view_a, view_b, passes, (*a.outcomes, *b.outcomes))),
    )


def _passes(a: Sequence[Outcome], b: Sequence[Outcome]) -> PairedComparison:
    """b − a. The statistics subtract their second run, a baseline, from their first; its names are turned with it."""
    found = compare_passes(b, a)
    return replace(
        found,
        rate_a=found.rate_b,
        rate_b=found.rate_a,
        better_in_a=found.better_in_b,
        better_in_b=found.better_in_a,
    )


def _scores(a: Sequence[Outcome], b: Sequence[Outcome]) -> tuple[ScoreComparison, ...]:
    found = (compare_scores(b, a, scorer) for scorer in graded_scorers(a, b))
    return tuple(replace(score, mean_a=score.mean_b, mean_b=score.mean_a) for score in found if score)


def score_metric(scorer: str) -> str:
    """A scorer's name among the metrics: one of its own, whatever a suite calls it."""
    return f"score:{scorer}"


def p_values(
    passes: PairedComparison,
    ttft: PairedShift | None,
    tpot: PairedShift | None,
    scores: Sequence[ScoreComparison],
) -> dict[str, float]:
    """The p of each metric that has one, as they are before any adjustment."""
    found = {
        "pass_rate": passes.p_value,
        "ttft_p50": ttft.p_value if ttft else None,
        "tpot_p50": tpot.p_value if tpot else None,
        **{score_metric(score.scorer): score.p_value for score in scores},
    }
    return {name: p for name, p in found.items() if p is not None}


def distinct(views: Sequence[RunView]) -> list[RunView]:
    """The views with titles that tell them apart."""
    titles = [view.title for view in views]
    return [
        view if titles.count(view.title) == 1 else replace(view, title=f"{view.title} {short_id(view.run.id)}")
        for view in views
    ]


def _notes(a: RunView, b: RunView, passes: PairedComparison, outcomes: Sequence[Outcome]) -> list[str]:
    notes = []
    if a.run.id == b.run.id:
        notes.append("Both are the same run.")
    if a.run.suite_hash != b.run.suite_hash:
        notes.append("The suites differ: cases are paired by id, and their content may not be the same.")
    parts = changed_parts(a.run.environment.get("suite") or {}, b.run.environment.get("suite") or {})
    notes += [f"Their suites have other {part}." for part in parts]
    if passes.unpaired:
        notes.append(f"Left out: cases that only one run has ({passes.unpaired}).")
    if passes.excluded:
        notes.append(f"Left out of both: attempts without a verdict in either run ({passes.excluded}).")
    if passes.unmatched:
        notes.append(f"Left out: repeats of cases that only one run has ({passes.unmatched}).")
    if passes.difference is not None and passes.low is None:
        worth = f"{passes.clusters} clusters worth {passes.effective_clusters:.1f} of equal size"
        notes.append(f"No interval of the difference in accuracy: {worth} are too few ({LEAST_CLUSTERS} needed).")
    notes += [note for view in (a, b) for note in _unfinished(view)]
    if any(outcome.tries > 1 for outcome in outcomes):
        notes.append("Some attempts were tried again after an infra failure; times are of the last try.")
    return notes


def _unfinished(view: RunView) -> list[str]:
    notes = []
    if (done := view.right + view.wrong + view.failed + view.waiting) < view.planned:
        notes.append(f"{view.title} is not complete: {done} of {view.planned} attempts.")
    if view.waiting:
        notes.append(f"{view.title}: {view.waiting} attempts wait for review and are left out.")
    return notes


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
