"""Stored runs in a notebook."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import agentbench
from agentbench.core.errors import UserError
from agentbench.export.tables import TABLES
from agentbench.report.compare.view import compare_view
from agentbench.report.run.view import run_view
from agentbench.store import open_store
from tests.report.runs import fill


@pytest.fixture
def db(tmp_path: Path) -> str:
    path = str(tmp_path / "a.db")
    with open_store(path) as store:
        fill(store, cases=12)
    return path


def test_a_run_s_tables_are_frames_whose_figures_are_those_of_the_report(db: str) -> None:
    run = agentbench.load("free", db=db)
    with open_store(db, create=False) as store:
        told = run_view(store, store.get_run("free")).to_json()
    assert set(run.tables) == set(TABLES)
    assert all([column.name for column in TABLES[name]] == list(frame.columns) for name, frame in run.tables.items())
    ended = run.attempts[run.attempts.failure_kind.isna()]
    assert int(ended.passed.sum()) == told["attempts_right"]
    assert len(run.attempts) - len(ended) == told["attempts_failed"]
    answered = run.model_calls[run.model_calls.error.isna()]
    assert float(answered.ttft_s.median()) == pytest.approx(told["ttft_p50_s"])
    assert run.scores.value.between(0, 1).all()
    assert str(run.attempts.passed.dtype) == "boolean"
    assert str(run.model_calls.prompt_tokens.dtype) == "Int64"


def test_a_table_without_rows_has_its_columns(db: str) -> None:
    labels = agentbench.load("free", db=db).tables["labels"]
    assert (len(labels), list(labels.columns)) == (0, [column.name for column in TABLES["labels"]])


def test_what_a_notebook_shows_is_what_the_terminal_does(db: str) -> None:
    run, both = agentbench.load("free", db=db), agentbench.compare("free", "bbb222", db=db)
    with open_store(db, create=False) as store:
        view = compare_view(store, store.get_run("free"), store.get_run("bbb222"))
    assert both.view.to_json() == view.to_json()
    for shown, names in (
        (run._repr_html_(), ("Accuracy", "TTFT p50")),
        (both._repr_html_(), ("B − A", "agent.output")),
    ):
        assert shown.startswith("<pre")
        assert all(name in shown for name in names)
    assert repr(run).startswith("<run ")
    assert repr(both).startswith("<comparison ")


def test_markup_in_a_label_is_shown_as_it_is(tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.report.runs import a_run

    db = str(tmp_path / "b.db")
    with open_store(db) as store:
        store.create_run(replace(a_run("20260101-x", "<script>alert(1)</script>", 1, "free"), status="interrupted"))
    assert "<script>" not in agentbench.load("latest", db=db)._repr_html_()


def test_a_run_or_store_that_is_not_there_is_told(db: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nosuch"):
        agentbench.load("nosuch", db=db)
    with pytest.raises(UserError, match="no store"):
        agentbench.load(db=str(tmp_path / "nowhere.db"))


def test_neither_pandas_nor_the_reports_are_imported_before_they_are_used() -> None:
    found = "import agentbench, json, sys; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.run([sys.executable, "-c", found], capture_output=True, check=True).stdout)
    assert not {"pandas", "rich", "agentbench.notebook"} & set(modules)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = agentbench.nonsense
