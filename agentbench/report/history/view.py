"""A suite over time: its runs, grouped into series of comparable runs, and the change points of their metrics."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from agentbench.core.run import Run
from agentbench.report.config_diff import flatten
from agentbench.report.run.view import RunView
from agentbench.stats.change_points import ChangePoint, change_points

NEWEST_RUNS = 60
"""Runs in the history of a suite."""

METRICS: Mapping[str, Callable[[RunView], float | None]] = {
    "accuracy": lambda view: view.accuracy.value if view.accuracy else None,
    "ttft_p95_s": lambda view: view.serving.ttft_p95_s,
    "agent_goodput_per_s": lambda view: view.serving.agent_goodput_per_s,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Comparable runs, the oldest first: they share the configuration, the cases and the grading.

    `measured` has, for each metric, the indices in `runs` of the runs that have the metric. `changes` has the change
    points of each metric; a change point's `at` is an index in `measured`. `settings` are the settings in which the
    series of the history differ.
    """

    config_hash: str
    settings: Mapping[str, Any]
    runs: tuple[RunView, ...]
    measured: Mapping[str, tuple[int, ...]]
    changes: Mapping[str, tuple[ChangePoint, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """`series` are sorted by their newest run, the newest first; series of a part of the suite come last."""

    suite: str
    series: tuple[Series, ...]

    def to_json(self) -> dict[str, Any]:
        """Values are seconds, fractions and rates per second. A change's `first` is the id of the first run of the new
        level."""
        return {"suite": self.suite, "series": [_series(each) for each in self.series]}


def _series(series: Series) -> dict[str, Any]:
    newest = series.runs[-1].run
    return {
        "config_hash": series.config_hash,
        "suite_version": newest.suite_version,
        "suite_hash": newest.suite_hash,
        "cases": len(newest.case_ids),
        "suite_cases": newest.suite_cases,
        "settings": dict(series.settings),
        "runs": [_point(view) for view in series.runs],
        "changes": {
            metric: [{**asdict(each), "first": series.runs[series.measured[metric][each.at]].run.id} for each in found]
            for metric, found in series.changes.items()
        },
    }


def _point(view: RunView) -> dict[str, Any]:
    document = view.to_json()
    metrics = ("accuracy", "accuracy_low", "accuracy_high", "ttft_p95_s", "agent_goodput_per_s")
    keys = ("id", "label", "created_at", *metrics, "attempts_right", "attempts_wrong", "attempts_failed")
    return {**{key: document[key] for key in keys}, "commit": commit_of(view.run)}


def commit_of(run: Run) -> str:
    """The git commit of the run; empty if the run did not record one."""
    return str(run.environment.get("git_commit") or "")


def history_view(suite: str, views: Sequence[RunView]) -> HistoryView:
    """The history of a suite from the views of its runs, the oldest first."""
    groups: dict[tuple[str, ...], list[RunView]] = {}
    for view in views:
        groups.setdefault(_series_key(view.run), []).append(view)
    newest_first = sorted(groups.values(), key=_sort_key, reverse=True)
    differing = _differing_settings([group[-1].run for group in newest_first])
    found = [_series_of(group, settings) for group, settings in zip(newest_first, differing, strict=True)]
    return HistoryView(suite=suite, series=tuple(found))


def _series_key(run: Run) -> tuple[str, ...]:
    """Equal for runs of one series. A run of a part of the suite has other cases, and so another suite hash."""
    grading = {"suite": run.environment.get("suite"), "passed_by": run.environment.get("passed_by")}
    return run.config_hash, run.suite_hash, json.dumps(grading, sort_keys=True, default=str)


def _sort_key(group: Sequence[RunView]) -> tuple[bool, datetime]:
    newest = group[-1].run
    return not newest.is_part, newest.created_at


def _series_of(group: Sequence[RunView], settings: Mapping[str, Any]) -> Series:
    measured = {name: tuple(i for i, view in enumerate(group) if of(view) is not None) for name, of in METRICS.items()}
    values = {name: [METRICS[name](group[index]) for index in indices] for name, indices in measured.items()}
    changes = {name: change_points([each for each in found if each is not None]) for name, found in values.items()}
    config_hash = group[0].run.config_hash
    return Series(config_hash=config_hash, settings=settings, runs=tuple(group), measured=measured, changes=changes)


def _differing_settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each run, the settings in which the runs differ."""
    trees = [dict(flatten(run.config)) for run in runs]
    paths = sorted({path for tree in trees for path in tree})
    differing = [path for path in paths if len({repr(tree.get(path)) for tree in trees}) > 1]
    return [{path: tree[path] for path in differing if path in tree} for tree in trees]
