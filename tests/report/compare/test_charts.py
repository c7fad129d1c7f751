"""The charts of several runs: named points with intervals, and the front from border to border."""

from dataclasses import replace
from typing import Any

import pytest

from agentbench.report.compare.charts import LETTERS, runs_charts
from agentbench.report.compare.view import RunsView, runs_view
from agentbench.stats import Estimate
from agentbench.store import Store

MEASURED = ((0.0, 0.0), (0.5, 1.0), (0.4, 0.6), (0.8, 0.25))
"""Accuracy and goodput of each run; the second and the last are on the front."""


@pytest.fixture
def view(store: Store) -> RunsView:
    found = runs_view(store, [store.get_run("free"), store.get_run("constrained")])
    run = found.runs[0]
    assert run.accuracy is not None
    runs = [
        replace(
            run,
            run=replace(run.run, id=f"run-{letter}"),
            title=f"a model of some size, {letter}",
            accuracy=interval(run.accuracy, accuracy),
            serving=replace(run.serving, agent_goodput_per_s=goodput),
        )
        for letter, (accuracy, goodput) in zip(LETTERS, MEASURED, strict=False)
    ]
    return replace(found, runs=tuple(runs))


def interval(around: Estimate, value: float) -> Estimate:
    return replace(around, value=value, low=max(0.0, value - 0.1), high=value + 0.1)


def traces(view: RunsView) -> tuple[Any, list[Any]]:
    front, *points = runs_charts(view)["pareto_goodput"].data
    return front, points


def test_each_point_has_its_run_s_name_and_interval(view: RunsView) -> None:
    _, points = traces(view)
    assert [each["text"] for each in points] == [[f"{x} a model of some size, {x}"] for x in "ABCD"]
    assert [(each["y"][0], each["x"][0]) for each in points] == list(MEASURED)
    assert [each["error_y"]["arrayminus"][0] for each in points] == pytest.approx([0.0, 0.1, 0.1, 0.1])
    assert [each["error_y"]["array"][0] for each in points] == pytest.approx([0.1] * 4)


def test_the_front_is_drawn_from_border_to_border_of_what_it_dominates(view: RunsView) -> None:
    front, points = traces(view)
    layout = runs_charts(view)["pareto_goodput"].layout
    left, bottom = layout["xaxis"]["range"][0], layout["yaxis"]["range"][0]
    corners = list(zip(front["x"], front["y"], strict=True))
    assert corners == [(left, 0.8), (0.25, 0.8), (0.25, 0.5), (1.0, 0.5), (1.0, bottom)]
    assert [each["marker"]["symbol"] for each in points] == ["circle-open", "circle", "circle-open", "circle"]


def test_where_less_is_better_the_front_goes_on_to_the_right(view: RunsView) -> None:
    times = (0.5, 0.5, 2.0, 1.0)
    runs = [replace(run, serving=replace(run.serving, ttft_p95_s=s)) for run, s in zip(view.runs, times, strict=True)]
    chart = runs_charts(replace(view, runs=tuple(runs)))["pareto_ttft"]
    right, bottom = chart.layout["xaxis"]["range"][1], chart.layout["yaxis"]["range"][0]
    corners = list(zip(chart.data[0]["x"], chart.data[0]["y"], strict=True))
    assert corners == [(0.5, bottom), (0.5, 0.5), (1.0, 0.5), (1.0, 0.8), (right, 0.8)]


def test_names_stand_on_the_side_that_has_space(view: RunsView) -> None:
    _, points = traces(view)
    assert points[0]["textposition"].endswith("right")
    assert points[1]["textposition"].endswith("left")


def test_names_of_runs_with_nearly_equal_values_do_not_cover_each_other(view: RunsView) -> None:
    first = view.runs[1]
    assert first.accuracy is not None
    second = replace(view.runs[2], accuracy=interval(first.accuracy, 0.51), serving=first.serving)
    _, points = traces(replace(view, runs=(first, second)))
    assert points[0]["textposition"] != points[1]["textposition"]


def test_one_measured_run_has_no_chart(view: RunsView) -> None:
    assert runs_charts(replace(view, runs=(view.runs[0], replace(view.runs[1], accuracy=None)))) == {}


def test_a_title_is_no_markup(view: RunsView) -> None:
    hostile = replace(view, runs=(replace(view.runs[0], title="<a href='x'>" + "n" * 60), *view.runs[1:]))
    _, points = traces(hostile)
    assert "<" not in points[0]["text"][0] + points[0]["hovertext"][0]
    assert points[0]["text"][0].endswith("n…")
