"""The numbers of the views, and the tables that show them."""

import json
import re
from dataclasses import replace
from io import StringIO
from itertools import product

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from agentbench.core.attempt import Score
from agentbench.core.trace import Failure, ModelCall
from agentbench.report.compare.page import runs_page
from agentbench.report.compare.table import compare_report, metric_rows
from agentbench.report.compare.view import CompareView, compare_view, runs_view
from agentbench.report.config_diff import config_diff
from agentbench.report.run.page import page_of, run_page
from agentbench.report.run.view import run_view
from agentbench.report.terminal import run_report
from agentbench.report.transcript.terminal import transcript
from agentbench.report.transcript.view import attempt_json
from agentbench.store import Store
from tests.report.runs import a_case, a_run, an_attempt


def shown(report: RenderableType, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width, markup=False, highlight=False)
    console.print(report)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_numbers_of_a_run(store: Store) -> None:
    view = run_view(store, store.get_run("free"))
    assert (view.right, view.wrong, view.failed, view.failures) == (28, 31, 1, {"timeout": 1})
    found = json.loads(json.dumps(view.to_json()))
    assert found["accuracy"] == pytest.approx(28 / 59)
    assert found["accuracy_low"] < 28 / 59 < found["accuracy_high"]
    assert found["model"] == "smollm2-135m-instruct"
    assert found["server"] == "bundled"
    assert found["tpot_p50_s"] == pytest.approx(0.020)
    assert found["agent_goodput_per_s"] == pytest.approx(28 / found["wall_s"])
    assert found["completion_tokens"] == 60 * 22
    assert len(found["cases"]) == 60


def test_a_run_without_attempts_has_a_view(store: Store) -> None:
    store.create_run(a_run("empty-1", "", 2, "free", minutes=9))
    view = run_view(store, store.get_run("empty-1"))
    assert view.accuracy is None
    assert "0 of 2 attempts" in shown(run_report(view))
    both = compare_view(store, store.get_run("empty-1"), store.get_run("free"))
    assert "nothing to compare" in shown(compare_report(both))


def test_pass_hat_k_is_of_the_k_that_was_asked_and_both_its_readings_are_named(store: Store) -> None:
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


def test_a_run_that_is_not_of_the_whole_suite_says_so(store: Store) -> None:
    free = store.get_run("free")
    assert "Part" not in shown(run_report(run_view(store, free)))
    facts = {**free.environment, "suite_cases": 400, "rerun_of": "weather-1"}
    for kind, said in (("part", "of the suite's 400"), ("rerun", "failing ones of weather-1")):
        store.create_run(replace(free, id=kind, label=kind, kind=kind, environment=facts))  # type: ignore[arg-type]
        view = run_view(store, store.get_run(kind))
        text = " ".join(shown(run_report(view)).split())
        assert kind.capitalize() in text
        assert said in text
        assert (view.to_json()["cases_planned"], view.to_json()["suite_cases"]) == (60, 400)


@pytest.mark.parametrize("width", [80, 100])
def test_the_run_table_fits(store: Store, width: int) -> None:
    text = shown(run_report(run_view(store, store.get_run("free"))), width)
    assert max(map(len, text.splitlines())) <= width
    for part in ("47.5 %", "28 / 31 / 1", "1 timeout", "808 ms", "failed (1)  case_3"):
        assert part in text


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


def test_each_call_has_its_own_models_name_and_price_and_what_is_missing_is_said(store: Store) -> None:
    environment = {
        "prices": {"planner": {"prompt": 10.0, "completion": 0.0}, "small": {"prompt": 1.0, "completion": 0.0}}
    }
    run = replace(a_run("planned", "planned", 2, "free"), environment=environment)
    store.create_run(run)
    for number in range(2):
        attempt = an_attempt(number, right=True, ttft_ms=100)
        plan, tool, act = attempt.trace.steps
        assert isinstance(plan, ModelCall)
        assert isinstance(act, ModelCall)
        # The request of a framework may begin with anything.
        plan = replace(plan, request={"tools": ["x" * 1000], "model": "planner"})
        act = replace(act, request={"model": "small"}, prompt_tokens=None if number else 120)
        again = replace(act, prompt_tokens=1000)
        trace = replace(attempt.trace, steps=(plan, tool, act, again))
        store.add_attempt(run.id, replace(attempt, trace=trace), a_case(number))
    view = run_view(store, run)
    assert view.model == "small, planner"
    found = view.to_json()
    assert found["cost"] == pytest.approx((240 * 10 + 2120 * 1) / 1e6)
    assert (found["cost_unknown_calls"], found["uncounted_prompts"], found["uncounted_completions"]) == (1, 1, 0)
    text = shown(run_report(view), 120)
    assert "≥ 2,360 / 66" in text
    assert "≥ 0.00452" in text
    assert "without 1 calls of unknown cost" in text
    page = str(runs_page(runs_view(store, [run, store.get_run("free")]), store).body)
    assert re.search(r"≥ <[^>]*>2,360<", page)
    told = [shown(transcript(case, attempt, run.prices), 120) for attempt, case in store.whole_attempts(run.id)]
    assert "planner  TTFT 100 ms" in told[0]
    assert "tokens 120 in, 11 out  cost 0.0012" in told[0]
    assert "small  TTFT 100 ms" in told[0]
    assert "tokens — in, 11 out  cost —" in told[1], "an uncounted prompt is no price of 0"
    alone = str(run_page(page_of(store, run)).body)
    assert re.search(r"<code>planner</code> · TTFT .*?cost <data[^>]*>0\.0012<", alone, re.DOTALL)
    steps = attempt_json(
        a_case(1), next(a for a, _ in store.whole_attempts(run.id) if a.case_id == "case_1"), run.prices
    )
    calls = [step for step in steps["attempt"]["trace"]["steps"] if step["kind"] == "model_call"]
    assert [(call["model"], call["cost"]) for call in calls] == [
        ("planner", pytest.approx(0.0012)),
        ("small", None),
        ("small", pytest.approx(0.001)),
    ]
    assert (steps["figures"]["uncounted_prompts"], steps["figures"]["cost_unknown_calls"]) == (1, 1)


def test_a_reviewer_is_not_told_which_model_answered() -> None:
    text = shown(transcript(a_case(7), an_attempt(7, right=False, ttft_ms=800), None))
    assert "smollm2" not in text
    assert "TTFT 800 ms" in text


def test_a_shown_difference_is_not_called_one_that_could_not_be_shown(store: Store) -> None:
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
    assert re.search(r"Smallest difference it could have seen: 1\d\.\d pts", same)


def test_a_scorer_and_a_figure_of_one_name_do_not_meet(store: Store) -> None:
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


def test_a_figure_is_coloured_by_the_p_that_is_adjusted(store: Store) -> None:
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


def test_runs_of_one_label_are_told_apart(store: Store) -> None:
    store.create_run(a_run("weather-ccc333", "free", 60, "free", minutes=3))
    view = compare_view(store, store.get_run("aaa111"), store.get_run("ccc333"))
    assert (view.a.title, view.b.title) == ("free aaa111", "free ccc333")
    assert any("not complete" in note for note in view.notes)


def test_a_transcript_shows_each_message_once() -> None:
    text = shown(transcript(a_case(7), an_attempt(7, right=False, ttft_ms=800), {}))
    assert text.count("Weather in city 7?") == 1
    assert text.count("21 °C\n") == 1
    for part in ('→ weather({"city": "7"})', "TTFT 800 ms  TPOT 20 ms", "city: expected 7, got 8", "120 in, 11 out"):
        assert part in text


def test_a_failure_is_in_the_transcript() -> None:
    text = shown(transcript(a_case(7), an_attempt(7, right=False, ttft_ms=800, failed=True), {}))
    assert "failure: timeout  no answer in 30 s" in text


def test_a_configuration_differs_by_dotted_path() -> None:
    changes = config_diff({"a": {"b": 1, "c": {}}, "d": 2}, {"a": {"b": 3}, "d": 2})
    assert [(change.path, change.a, change.b) for change in changes] == [("a.b", 1, 3), ("a.c", {}, None)]


def test_what_its_tokens_cost_is_told_at_the_suites_prices(store: Store) -> None:
    free = store.get_run("free")
    assert run_view(store, free).cost is None
    store.update_environment(free.id, {"prices": {"smollm2-135m-instruct": {"prompt": 2.0, "completion": 10.0}}})
    view = run_view(store, store.get_run("free"))
    assert view.serving.prompt_tokens is not None
    assert view.serving.completion_tokens is not None
    expected = (2.0 * view.serving.prompt_tokens + 10.0 * view.serving.completion_tokens) / 1e6
    assert view.cost is not None
    assert view.cost.value == pytest.approx(expected)
    assert view.to_json()["cost"] == view.cost.value
