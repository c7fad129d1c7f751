"""A suite over time: its runs by what was run on which cases and how graded, and where their level changed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from agentbench.core.run import Run
from agentbench.report.config_diff import flat
from agentbench.report.run.view import RunView
from agentbench.stats.change_points import ChangePoint, change_points

NEWEST = 60
"""Runs of a suite that its history goes back to."""

METRICS: Mapping[str, Callable[[RunView], float | None]] = {
    "accuracy": lambda view: view.accuracy.value if view.accuracy else None,
    "ttft_p95_s": lambda view: view.serving.ttft_p95_s,
    "agent_goodput_per_s": lambda view: view.serving.agent_goodput_per_s,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Runs whose figures mean the same, the oldest first: of one configuration, on the same cases, graded alike.

    `changes` has each metric's changes; their `at` is a place among the runs that have the metric, of which `known` has
    the places in `runs`.
    """

    config_hash: str
    settings: Mapping[str, Any]
    runs: tuple[RunView, ...]
    known: Mapping[str, tuple[int, ...]]
    changes: Mapping[str, tuple[ChangePoint, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """`series` are in the order of their last run, the newest first, those of a part of the suite after the others;
    `settings` are those that tell them apart."""

    suite: str
    series: tuple[Series, ...]

    def to_json(self) -> dict[str, Any]:
        """Seconds, fractions and rates per second; `first` of a change is the id of the first run of the new level."""
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
            metric: [{**asdict(each), "first": series.runs[series.known[metric][each.at]].run.id} for each in found]
            for metric, found in series.changes.items()
        },
    }


def _point(view: RunView) -> dict[str, Any]:
    whole = view.to_json()
    names = ("id", "label", "created_at", "accuracy", "accuracy_low", "accuracy_high", "ttft_p95_s")
    rest = ("agent_goodput_per_s", "attempts_right", "attempts_wrong", "attempts_failed")
    return {**{name: whole[name] for name in (*names, *rest)}, "commit": commit_of(view.run)}


def commit_of(run: Run) -> str:
    """The git commit that the run was made at, empty where it was not said."""
    return str(run.environment.get("git_commit") or "")


def history_view(suite: str, views: Sequence[RunView]) -> HistoryView:
    """Of runs of the suite, the oldest first."""
    groups: dict[tuple[str, ...], list[RunView]] = {}
    for view in views:
        groups.setdefault(_line_of(view.run), []).append(view)
    newest_first = sorted(groups.values(), key=_place, reverse=True)
    apart = _apart([group[-1].run for group in newest_first])
    found = [_of_group(group, settings) for group, settings in zip(newest_first, apart, strict=True)]
    return HistoryView(suite=suite, series=tuple(found))


def _line_of(run: Run) -> tuple[str, ...]:
    """What the runs of a line share; a part of a suite has other cases, and so a line of its own."""
    written = {"suite": run.environment.get("suite"), "passed_by": run.environment.get("passed_by")}
    return run.config_hash, run.suite_hash, json.dumps(written, sort_keys=True, default=str)


def _place(group: Sequence[RunView]) -> tuple[bool, datetime]:
    newest = group[-1].run
    return not newest.is_part, newest.created_at


def _of_group(group: Sequence[RunView], settings: Mapping[str, Any]) -> Series:
    known = {name: tuple(i for i, view in enumerate(group) if of(view) is not None) for name, of in METRICS.items()}
    values = {name: [METRICS[name](group[place]) for place in places] for name, places in known.items()}
    changes = {name: change_points([each for each in found if each is not None]) for name, found in values.items()}
    first = group[0].run
    return Series(config_hash=first.config_hash, settings=settings, runs=tuple(group), known=known, changes=changes)


def _apart(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The settings of each in which they do not all agree."""
    trees = [dict(flat(run.config)) for run in runs]
    paths = sorted({path for tree in trees for path in tree})
    differing = [path for path in paths if len({repr(tree.get(path)) for tree in trees}) > 1]
    return [{path: tree[path] for path in differing if path in tree} for tree in trees]
