"""Several runs as a table: a row for each, the front, the verdicts against the first, and what differs."""

from dataclasses import replace

import pytest

from agentbench.report.compare.overview import overview_markdown, overview_rows, runs_report
from agentbench.report.compare.view import RunsView, runs_view
from agentbench.store import Store
from tests.report.runs import a_case, a_run, an_attempt, shown

RUNS = {"none": (0.0, 100), "fast": (0.4, 100), "beaten": (0.3, 400), "late": (0.9, 2500)}
"""Share of right answers and TTFT in milliseconds of each run. The limit is 2 s."""


@pytest.fixture
def view(store: Store) -> RunsView:
    for name, (share, ttft_ms) in RUNS.items():
        store.create_run(a_run(f"w-{name}", name, 40, "free" if name == "none" else "constrained"))
        attempts = [(an_attempt(n, right=n < 40 * share, ttft_ms=ttft_ms), a_case(n)) for n in range(40)]
        store.add_attempts(f"w-{name}", attempts)
    return runs_view(store, [store.get_run(name) for name in RUNS])


def test_each_run_has_its_figures_and_says_whether_it_is_on_the_front(view: RunsView) -> None:
    none, fast, beaten, late = overview_rows(view)
    assert (none[0], late[0]) == ("A  none\n   smollm2-135m-instruct", "D  late\n   smollm2-135m-instruct")
    assert fast[1].startswith("40.0 %\n26.")
    # 16 right answers in time; the last of 40 attempts starts after 39 × 0.2 s and takes 0.6 s.
    assert float(fast[2]) == pytest.approx(16 / 8.4, abs=0.005)
    assert (none[2], late[2]) == ("0", "0"), "a right answer counts only within the time limits"
    assert (fast[3], late[3]) == ("100 ms", "2.5 s")
    assert [row[-1] for row in (none, fast, beaten, late)] == ["—", "on it", "—", "on it"]
    assert view.to_json()["pareto"]["agent_goodput_per_s"] == ["w-fast", "w-late"]


def test_each_later_run_has_its_verdict_with_p_adjusted_over_all(view: RunsView) -> None:
    text = " ".join(shown(runs_report(view), 200).split())
    assert "D against A: D is right more often than A" in text
    assert f"as one of {sum(map(len, view.adjusted))} metrics (Holm)" in text
    assert "agent.output: A free; B, C, D constrained" in text
    assert "right answers a second with ttft ≤ 2 s" in text


def test_runs_with_other_time_limits_are_noted(view: RunsView) -> None:
    other = replace(view, runs=(*view.runs[:-1], replace(view.runs[-1], objectives={})))
    text = " ".join(shown(runs_report(other), 200).split())
    assert "right answers a second within each run's own time limits" in text


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits(view: RunsView, width: int) -> None:
    lines = shown(runs_report(view), width).splitlines()
    assert max(map(len, lines)) <= width


def test_two_runs_are_side_by_side(store: Store) -> None:
    view = runs_view(store, [store.get_run("free"), store.get_run("constrained")])
    assert "B − A" in shown(runs_report(view))


def test_the_markdown_has_the_same_cells(view: RunsView) -> None:
    lines = overview_markdown(view).replace("\\", "").splitlines()
    rows = [line for line in lines if line.startswith("| D ")]
    assert rows == ["| D late<br>smollm2-135m-instruct | 90.0 %<br>" + rows[0].split("<br>")[2]]
    assert rows[0].endswith("| 0 | 2.5 s | " + overview_rows(view)[3][4] + " | on it |")
    assert any(line.startswith("- D against A: D is right more often than A") for line in lines)


def test_a_title_cannot_style_the_terminal(view: RunsView) -> None:
    hostile = replace(view, runs=(replace(view.runs[0], title="a\x1b[31mred\nline"), *view.runs[1:]))
    assert "\x1b[31m" not in shown(runs_report(hostile))
