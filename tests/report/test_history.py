"""A suite over time: runs by configuration, and the change that is marked."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.report.history_page import history_of, history_page
from agentbench.store import Store, open_store
from tests.report.page_numbers import check, numbers
from tests.report.runs import STARTED, a_case, a_run, an_attempt

RUNS, CHANGED = 12, 7
"""Runs of one configuration, and the first of them that is better."""


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


def test_the_change_is_where_it_was_made(store: Store) -> None:
    view = history_of(store, "weather")
    assert view is not None
    newest, nightly = view.series
    assert [each.run.id for each in newest.runs] == ["other"]
    assert newest.settings["agent.output"] == "constrained"
    assert [run.run.id for run in nightly.runs] == [f"night-{number:02}" for number in range(RUNS)]
    (change,) = view.to_json()["series"][1]["changes"]["accuracy"]
    assert change["first"] == f"night-{CHANGED:02}"
    assert change["before"] < 0.45 < change["after"]
    assert nightly.changes["ttft_p95_s"] == ()


def test_its_numbers_are_those_of_the_json(store: Store, tmp_path: Path) -> None:
    db = str(tmp_path / "a.db")
    result = CliRunner().invoke(app, ["report", "weather", "--json", "--db", db])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    view = history_of(store, "weather")
    assert view is not None
    page = history_page(view)
    found = numbers(str(page.body))
    assert len(found) > 8 * RUNS
    for number in found:
        check(number, document)
    marks = page.charts["history_accuracy"].layout["shapes"]
    assert len(marks) == 1


def test_a_suite_without_runs_has_no_history(store: Store, tmp_path: Path) -> None:
    assert history_of(store, "absent") is None
    result = CliRunner().invoke(app, ["report", "absent", "--db", str(tmp_path / "a.db")])
    assert result.exit_code != 0
