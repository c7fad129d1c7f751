"""The numbers of a run, and the table that shows them."""

import json
from dataclasses import replace

import pytest

from agentbench.report.run.table import run_report
from agentbench.report.run.view import run_view, view_of
from agentbench.stats.outcomes import outcome_of
from agentbench.store import Store
from tests.report.runs import shown


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


def test_a_scorer_alone_is_shown_beside_the_accuracy_when_it_gives_parts(store: Store) -> None:
    free = store.get_run("free")
    outcomes = [outcome_of(attempt) for attempt in store.measured_attempts(free.id)]
    assert view_of(free, outcomes).scores == {}
    half = [replace(each, scores=dict.fromkeys(each.scores, 0.5)) for each in outcomes]
    assert {name: found.value for name, found in view_of(free, half).scores.items()} == {"tool_call_match": 0.5}


def test_the_table_of_a_part_and_of_a_rerun_says_so(store: Store) -> None:
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


def test_the_cost_of_its_tokens_is_shown_at_the_suites_prices(store: Store) -> None:
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
