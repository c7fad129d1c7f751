"""The numbers of a comparison of two runs, and the table that shows them."""

import json
import re
from dataclasses import replace
from itertools import product

import pytest
from rich.text import Text

from agentbench.core.attempt import Score
from agentbench.core.trace import Failure
from agentbench.report.compare.table import compare_report, metric_rows
from agentbench.report.compare.view import CompareView, compare_view
from agentbench.report.run.table import run_report
from agentbench.report.run.view import run_view
from agentbench.store import Store
from tests.report.runs import a_case, a_run, an_attempt, shown


def test_a_run_without_attempts_has_a_view(store: Store) -> None:
    store.create_run(a_run("empty-1", "", 2, "free", minutes=9))
    view = run_view(store, store.get_run("empty-1"))
    assert view.accuracy is None
    assert "0 of 2 attempts" in shown(run_report(view))
    both = compare_view(store, store.get_run("empty-1"), store.get_run("free"))
    assert "nothing to compare" in shown(compare_report(both))


def test_pass_hat_k_is_for_the_runs_repeats_and_has_a_row_for_each_counting_of_failures(store: Store) -> None:
    runs = [replace(a_run(f"weather-{name}", name, 4, "free"), repeats=2) for name in ("crashing", "steady")]
    for run in runs:
        store.create_run(run)
        for number, repeat in product(range(4), range(2)):
            crash = (
                Failure(kind="agent", message="raised")
                if run.label == "crashing" and (number, repeat) == (0, 1)
                else None
            )
            attempt = an_attempt(number, right=number != 3, ttft_ms=100)
            attempt = replace(attempt, repeat=repeat, failure=crash, passed=None if crash else attempt.passed)
            store.add_attempt(run.id, attempt, a_case(number))
    crashing, steady = (run_view(store, run) for run in runs)
    found = crashing.to_json()
    assert (found["k"], found["pass_k_cases"], found["pass_k_as_gated_cases"]) == (2, 3, 4)
    assert (found["pass_hat_k"], found["pass_hat_k_as_gated"]) == (pytest.approx(2 / 3), 0.5)
    text = shown(run_report(crashing))
    assert re.search(r"pass\^2 +\| 66\.7 % +\| 95 %: .* over the 3 cases with\s", text.replace("│", "|"))
    assert re.search(r"failures as wrong +\| 50\.0 %", text.replace("│", "|"))
    assert "failures as wrong" not in shown(run_report(steady))
    both = shown(compare_report(compare_view(store, *(run for run in runs))))
    assert re.search(r"pass\^k +\| +66\.7 % \| +75\.0 %", both.replace("│", "|"))
    assert re.search(r"failures as wrong +\| +50\.0 % \| +75\.0 %", both.replace("│", "|"))


def test_the_numbers_of_a_comparison(store: Store) -> None:
    view = compare_view(store, store.get_run("free"), store.get_run("constrained"))
    found = json.loads(json.dumps(view.to_json()))
    assert found["accuracy"]["cases"] == 59
    assert found["accuracy"]["difference"] == pytest.approx(20 / 59)
    assert found["accuracy"]["p_value"] < 1e-4
    assert found["accuracy"]["rate_b"] - found["accuracy"]["rate_a"] == pytest.approx(20 / 59)
    assert (len(found["accuracy"]["better_in_a"]), len(found["accuracy"]["better_in_b"])) == (0, 20)
    assert found["ttft_p50"]["difference_s"] == pytest.approx(-0.418, abs=0.001)
    assert found["config_diff"] == {"agent.output": {"a": "free", "b": "constrained"}}


def test_a_significant_difference_is_not_reported_as_undetectable(store: Store) -> None:
    for name, share in (("best", 1.0), ("good", 0.9), ("poor", 0.1), ("none", 0.0)):
        run = a_run(name, name, 40, "free")
        store.create_run(run)
        pairs = [(an_attempt(n, right=n < 40 * share, ttft_ms=300), a_case(n)) for n in range(40)]
        store.add_attempts(run.id, pairs)
    for a, b in product(("best", "good"), ("poor", "none")):
        text = shown(compare_report(compare_view(store, store.get_run(a), store.get_run(b))), 200)
        assert "A is right more often than B" in text
        assert "too few cases" not in text
    same = shown(compare_report(compare_view(store, store.get_run("none"), store.get_run("none"))), 200)
    assert re.search(r"Smallest detectable difference: 1\d\.\d pts", same)


def test_a_scorer_named_like_a_metric_has_its_own_adjusted_p(store: Store) -> None:
    for name, value in (("first", 0.25), ("second", 0.75)):
        store.create_run(a_run(name, name, 20, "free"))
        for number in range(20):
            attempt = an_attempt(number, right=number % 2 == 0, ttft_ms=300)
            graded = tuple(Score(name=of, value=value, passed=True) for of in ("pass_rate", "ttft_p50"))
            store.add_attempt(name, replace(attempt, scores=(*attempt.scores, *graded)), a_case(number))
    view = compare_view(store, store.get_run("first"), store.get_run("second"))
    assert set(view.adjusted) == {"pass_rate", "ttft_p50", "tpot_p50", "score:pass_rate", "score:ttft_p50"}
    assert (view.adjusted["pass_rate"], view.adjusted["ttft_p50"]) == (1.0, 1.0)
    assert view.adjusted["score:pass_rate"] < 0.001
    assert "No difference in accuracy is shown" in shown(compare_report(view))


def test_a_difference_is_coloured_by_its_adjusted_p(store: Store) -> None:
    view = compare_view(store, store.get_run("free"), store.get_run("constrained"))

    def styles(of: CompareView) -> set[str]:
        return {str(span.style) for row in metric_rows(of) if isinstance(row[3], Text) for span in row[3].spans}

    assert {"bold green", "bold red"} & styles(view)
    assert not {"bold green", "bold red"} & styles(replace(view, adjusted=dict.fromkeys(view.adjusted, 0.06)))


@pytest.mark.parametrize("width", [80, 100])
def test_the_compare_table_fits(store: Store, width: int) -> None:
    view = compare_view(store, store.get_run("free"), store.get_run("constrained"))
    text = shown(compare_report(view), width)
    assert max(map(len, text.splitlines())) <= width
    for part in (
        "A  free",
        "B  constrained",
        "B − A",
        "+33.9 pts",
        "p < 0.0001",
        "−418 ms",
        "Better in B (20)",
        "agent.output",
    ):
        assert part in text
    assert "Better in A" not in text


def test_runs_with_the_same_label_have_different_titles(store: Store) -> None:
    store.create_run(a_run("weather-ccc333", "free", 60, "free", minutes=3))
    view = compare_view(store, store.get_run("aaa111"), store.get_run("ccc333"))
    assert (view.a.title, view.b.title) == ("free aaa111", "free ccc333")
    assert any("not complete" in note for note in view.notes)
