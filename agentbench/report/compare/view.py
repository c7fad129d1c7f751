"""Every number in a comparison of runs: the numbers of each run, and of each later run compared with the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from agentbench.core.errors import UserError
from agentbench.core.run import Run, changed_parts
from agentbench.gate.baseline import stored_outcomes
from agentbench.report.config_diff import ConfigChange, config_diff, flatten
from agentbench.report.run.view import RunView, short_id, view_of
from agentbench.stats import Outcome, PairedComparison, compare_passes
from agentbench.stats.comparison import PairedShift, ScoreComparison, compare_latency, compare_scores, graded_scorers
from agentbench.stats.hypothesis_tests import holm
from agentbench.stats.intervals import LEAST_CLUSTERS
from agentbench.stats.pareto import pareto_front
from agentbench.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareView:
    """Run `a` compared with a later run `b`. Every difference is b − a, paired on case.

    `scores` has the graded scorers. `adjusted` has the p of each metric, adjusted for the number of metrics (Holm):
    `pass_rate`, `ttft_p50`, `tpot_p50`, and `score:NAME` for each scorer. `notes` state the limits of the comparison.
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
        """Both runs as `RunView.to_json`, and the paired differences b − a in seconds or fractions."""
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
class ComparedRun:
    """A run's view, and the outcomes that are paired with those of another run."""

    view: RunView
    outcomes: Sequence[Outcome]


def compared_run(store: Store, run: Run) -> ComparedRun:
    """A stored run with the attempts that are stored so far."""
    outcomes = stored_outcomes(store, run.id)
    return ComparedRun(view=view_of(run, outcomes), outcomes=outcomes)


def compare_view(store: Store, a: Run, b: Run) -> CompareView:
    """The comparison of two stored runs, from the attempts that are stored so far: what changed from `a` to `b`."""
    return compare_runs(compared_run(store, a), compared_run(store, b))


def compare_runs(a: ComparedRun, b: ComparedRun) -> CompareView:
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
    """The comparison b − a. `compare_passes` subtracts its second argument from its first, so `b` comes first and the
    names in its result are swapped back."""
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
    """A scorer's name as a metric. The prefix keeps it apart from every other metric, whatever the scorer's name."""
    return f"score:{scorer}"


def p_values(
    passes: PairedComparison,
    ttft: PairedShift | None,
    tpot: PairedShift | None,
    scores: Sequence[ScoreComparison],
) -> dict[str, float]:
    """The unadjusted p of each metric that has one."""
    found = {
        "pass_rate": passes.p_value,
        "ttft_p50": ttft.p_value if ttft else None,
        "tpot_p50": tpot.p_value if tpot else None,
        **{score_metric(score.scorer): score.p_value for score in scores},
    }
    return {name: p for name, p in found.items() if p is not None}


def distinct(views: Sequence[RunView]) -> list[RunView]:
    """The views, with the short run id added to every title that occurs twice."""
    titles = [view.title for view in views]
    return [
        view if titles.count(view.title) == 1 else replace(view, title=f"{view.title} {short_id(view.run.id)}")
        for view in views
    ]


def _notes(a: RunView, b: RunView, passes: PairedComparison, outcomes: Sequence[Outcome]) -> list[str]:
    notes = _differences(a, b)
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


def _differences(a: RunView, b: RunView) -> list[str]:
    """What is not the same in the suites of two runs."""
    notes = ["Both are the same run."] if a.run.id == b.run.id else []
    if a.run.suite_hash != b.run.suite_hash:
        notes.append("The suites differ: cases are paired by id, and their content may not be the same.")
    parts = changed_parts(a.run.environment.get("suite") or {}, b.run.environment.get("suite") or {})
    notes += [f"Their suites have other {part}." for part in parts]
    if a.objectives != b.objectives:
        notes.append("Their time limits differ, and goodput counts only what met them.")
    return notes


def _unfinished(view: RunView) -> list[str]:
    notes = []
    if (done := view.right + view.wrong + view.failed + view.waiting) < view.planned:
        notes.append(f"{view.title} is not complete: {done} of {view.planned} attempts.")
    if view.waiting:
        notes.append(f"{view.title}: {view.waiting} attempts wait for review and are left out.")
    return notes


MOST_RUNS = 8
"""Runs in one comparison."""

FRONTS: Mapping[str, int] = {"ttft_p95_s": -1, "agent_goodput_per_s": 1}
"""The metrics of the Pareto fronts with accuracy: -1 where a lower value is better, 1 where a higher value is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsView:
    """`comparisons` compares each later run with the first (later − first, paired on case). `adjusted` has, for each
    comparison, the p of its metrics, adjusted over all metrics of all comparisons (Holm)."""

    runs: tuple[RunView, ...]
    comparisons: tuple[CompareView, ...]
    adjusted: tuple[Mapping[str, float], ...]

    @property
    def heading(self) -> str:
        """The suites, and the titles of two runs or the number of more."""
        suites = ", ".join(dict.fromkeys(run.run.suite for run in self.runs))
        names = ", ".join(run.title for run in self.runs) if len(self.runs) == 2 else f"{len(self.runs)} runs"
        return f"{suites} · {names}"

    @property
    def objectives(self) -> Mapping[str, float] | None:
        """The time limits (seconds) that all runs share; None where they differ."""
        first = self.runs[0].objectives
        return first if all(run.objectives == first for run in self.runs) else None

    def to_json(self) -> dict[str, Any]:
        """Values are seconds, fractions and rates per second. `titles` and the values in `config_diff` are in the order
        of `runs`."""
        return {
            "runs": [run.to_json() for run in self.runs],
            "titles": [run.title for run in self.runs],
            "comparisons": [_compared(each) for each in self.comparisons],
            "p_adjusted": [dict(each) for each in self.adjusted],
            "config_diff": runs_config_diff(self.runs),
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
    """The comparison of several stored runs. `UserError` for fewer than 2 or more than `MOST_RUNS`."""
    if not 2 <= len(runs) <= MOST_RUNS:
        raise UserError(f"{len(runs)} run{'' if len(runs) == 1 else 's'} to compare: expected 2 to {MOST_RUNS}")
    compared = [compared_run(store, run) for run in runs]
    comparisons = tuple(compare_runs(compared[0], later) for later in compared[1:])
    return RunsView(
        runs=tuple(distinct([run.view for run in compared])),
        comparisons=comparisons,
        adjusted=_adjusted(comparisons),
    )


def _adjusted(comparisons: Sequence[CompareView]) -> tuple[dict[str, float], ...]:
    found = [p_values(each.passes, each.ttft, each.tpot, each.scores) for each in comparisons]
    flat_p = {f"{place} {name}": p for place, each in enumerate(found) for name, p in each.items()}
    adjusted = holm(flat_p)
    return tuple({name: adjusted[f"{place} {name}"] for name in each} for place, each in enumerate(found))


def runs_config_diff(runs: Sequence[RunView]) -> dict[str, list[Any]]:
    """The dotted paths in which the runs differ, with each run's value; None where a run lacks the path."""
    trees = [dict(flatten(run.run.config)) for run in runs]
    paths = sorted({path for tree in trees for path in tree})
    return {
        path: [tree.get(path) for tree in trees] for path in paths if len({repr(tree.get(path)) for tree in trees}) > 1
    }


def front(runs: Sequence[RunView], metric: str) -> list[str]:
    """The ids of the runs on the Pareto front of accuracy and `metric`: no other run dominates them."""
    found = ((run.run.id, _point(run, metric)) for run in runs)
    return pareto_front({run_id: point for run_id, point in found if point is not None})


def _point(run: RunView, metric: str) -> tuple[float, float] | None:
    """Accuracy and the metric; the metric's sign is such that more is better. None where either is missing."""
    value = getattr(run.serving, metric)
    return None if run.accuracy is None or value is None else (run.accuracy.value, FRONTS[metric] * value)
