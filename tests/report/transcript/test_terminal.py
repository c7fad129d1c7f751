"""The transcript of an attempt on the terminal."""

import re
from dataclasses import replace

import pytest

from agentbench.core.trace import ModelCall
from agentbench.report.compare.page import runs_page
from agentbench.report.compare.view import runs_view
from agentbench.report.run.page import load_run_page, run_page
from agentbench.report.run.table import run_report
from agentbench.report.run.view import run_view
from agentbench.report.transcript.terminal import transcript
from agentbench.report.transcript.view import attempt_json
from agentbench.store import Store
from tests.report.runs import a_case, a_run, an_attempt, shown


def test_each_call_has_its_models_name_and_price_and_missing_prices_are_counted(store: Store) -> None:
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
        # A framework's request may have any first message.
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
    told = [shown(transcript(case, attempt, run.prices), 120) for attempt, case in store.attempts_with_cases(run.id)]
    assert "planner  TTFT 100 ms" in told[0]
    assert "tokens 120 in, 11 out  cost 0.0012" in told[0]
    assert "small  TTFT 100 ms" in told[0]
    assert "tokens — in, 11 out  cost —" in told[1], "an uncounted prompt is no price of 0"
    alone = str(run_page(load_run_page(store, run)).body)
    assert re.search(r"<code>planner</code> · TTFT .*?cost <data[^>]*>0\.0012<", alone, re.DOTALL)
    steps = attempt_json(
        a_case(1), next(a for a, _ in store.attempts_with_cases(run.id) if a.case_id == "case_1"), run.prices
    )
    calls = [step for step in steps["attempt"]["trace"]["steps"] if step["kind"] == "model_call"]
    assert [(call["model"], call["cost"]) for call in calls] == [
        ("planner", pytest.approx(0.0012)),
        ("small", None),
        ("small", pytest.approx(0.001)),
    ]
    assert (steps["figures"]["uncounted_prompts"], steps["figures"]["cost_unknown_calls"]) == (1, 1)


def test_a_reviewer_does_not_see_which_model_answered() -> None:
    text = shown(transcript(a_case(7), an_attempt(7, right=False, ttft_ms=800), None))
    assert "smollm2" not in text
    assert "TTFT 800 ms" in text


def test_a_transcript_shows_each_message_once() -> None:
    text = shown(transcript(a_case(7), an_attempt(7, right=False, ttft_ms=800), {}))
    assert text.count("Weather in city 7?") == 1
    assert text.count("21 °C\n") == 1
    for part in ('→ weather({"city": "7"})', "TTFT 800 ms  TPOT 20 ms", "city: expected 7, got 8", "120 in, 11 out"):
        assert part in text


def test_a_failure_is_in_the_transcript() -> None:
    text = shown(transcript(a_case(7), an_attempt(7, right=False, ttft_ms=800, failed=True), {}))
    assert "failure: timeout  no answer in 30 s" in text
