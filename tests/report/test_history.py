"""A suite over time: series of comparable runs, and their change points."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.report.history import history_page, load_history
from agentbench.store import Store, open_store
from tests.report.page_numbers import check, numbers
from tests.report.runs import STARTED, a_case, a_run, an_attempt

RUNS, CHANGED = 12, 7
"""Runs of one configuration, and the index of the first run with the better level."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    chance = random.Random(3)
    with open_store(str(tmp_path / "a.db")) as store:
        for number in range(RUNS):
            run = replace(
                a_run(f"night-{number:02}", f"night {number}", 25, "free"),
                created_at=STARTED + timedelta(days=number),
                environment={"git_commit": f"{number:040x}"},
            )
            store.create_run(run)
            rate = 0.25 if number < CHANGED else 0.8
            pairs = [(an_attempt(n, right=chance.random() < rate, ttft_ms=500), a_case(n)) for n in range(25)]
            store.add_attempts(run.id, pairs)
        other = replace(a_run("other", "other", 5, "constrained"), created_at=STARTED + timedelta(days=40))
        store.create_run(other)
        store.add_attempts("other", [(an_attempt(n, right=True, ttft_ms=300), a_case(n)) for n in range(5)])
        yield store


def test_the_change_point_is_found(store: Store) -> None:
    view = load_history(store, "weather")
    assert view is not None
    newest, nightly = view.series
    assert [each.run.id for each in newest.runs] == ["other"]
    assert newest.settings["agent.output"] == "constrained"
    assert [run.run.id for run in nightly.runs] == [f"night-{number:02}" for number in range(RUNS)]
    (change,) = view.to_json()["series"][1]["changes"]["accuracy"]
    assert change["first"] == f"night-{CHANGED:02}"
    assert change["before"] < 0.45 < change["after"]
    assert nightly.changes["ttft_p95_s"] == ()


@pytest.mark.long
def test_runs_with_other_cases_or_graders_or_of_a_part_form_their_own_series(tmp_path: Path) -> None:
    """Eight runs are right on a quarter, eight runs of another version are right on all: no series has a change."""
    asked = {"suite": {"scorers": [{"name": "exact"}]}, "suite_cases": 25}
    with open_store(str(tmp_path / "b.db")) as store:
        for number in range(16):
            new = number >= 8
            run = replace(
                a_run(f"night-{number:02}", "", 25, "free"),
                created_at=STARTED + timedelta(days=number),
                suite_version="2" if new else "1",
                suite_hash=("2" if new else "1") * 64,
                environment=asked,
            )
            store.create_run(run)
            store.add_attempts(run.id, [(an_attempt(n, right=new or n < 6, ttft_ms=500), a_case(n)) for n in range(25)])
        last = store.get_run("night-15")
        part = replace(last, id="part", suite_hash="3" * 64, case_ids=last.case_ids[:3], kind="part")
        other = {**asked, "suite": {"scorers": [{"name": "judge"}]}}
        for run in (part, replace(last, id="judged", environment=other), replace(last, id="again", kind="rerun")):
            store.create_run(replace(run, created_at=STARTED + timedelta(days=30)))
            store.add_attempts(run.id, [(an_attempt(n, right=False, ttft_ms=500), a_case(n)) for n in range(3)])
        view = load_history(store, "weather")
    assert view is not None
    lines = [[each.run.id for each in series.runs] for series in view.series]
    assert [(each[0], len(each)) for each in lines] == [("judged", 1), ("night-08", 8), ("night-00", 8), ("part", 1)]
    assert all(changes == () for series in view.series for changes in series.changes.values())
    told = [(each["suite_version"], each["cases"], each["suite_cases"]) for each in view.to_json()["series"]]
    assert told == [("2", 25, 25), ("2", 25, 25), ("1", 25, 25), ("2", 3, 25)]
    page = history_page(view)
    text = re.sub(r"<[^>]+>", "", str(page.body))
    assert "version 2: a part, 3 of 25 cases" in text
    assert "version 1: 25 cases" in text
    names = [line["name"] for line in page.charts["history_accuracy"].data]
    assert names[-1].endswith("version 2, 3 of 25 cases")


@pytest.mark.long
def test_the_pages_numbers_equal_the_json(store: Store, tmp_path: Path) -> None:
    db = str(tmp_path / "a.db")
    result = CliRunner().invoke(app, ["report", "weather", "--json", "--db", db])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    view = load_history(store, "weather")
    assert view is not None
    page = history_page(view)
    found = numbers(str(page.body))
    assert len(found) > 8 * RUNS
    for number in found:
        check(number, document)
    marks = page.charts["history_accuracy"].layout["shapes"]
    assert len(marks) == 1


def test_a_suite_without_runs_has_no_history(store: Store, tmp_path: Path) -> None:
    assert load_history(store, "absent") is None
    result = CliRunner().invoke(app, ["report", "absent", "--db", str(tmp_path / "a.db")])
    assert result.exit_code != 0
