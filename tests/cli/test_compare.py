"""`agentbench compare`."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agentbench.cli.compare import compare_command
from agentbench.store import open_store
from tests.report.runs import fill


@pytest.fixture
def db(tmp_path: Path) -> str:
    path = str(tmp_path / "a.db")
    with open_store(path) as store:
        fill(store, cases=12)
    return path


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(compare_command)
    return app


def test_two_runs_side_by_side(app: typer.Typer, db: str) -> None:
    result = CliRunner().invoke(app, ["free", "bbb222", "--db", db])
    assert result.exit_code == 0
    assert "A  free" in result.stdout
    assert "agent.output" in result.stdout


def test_json_is_only_json(app: typer.Typer, db: str) -> None:
    result = CliRunner().invoke(app, ["latest~1", "latest", "--json", "--db", db])
    assert json.loads(result.stdout)["a"]["label"] == "free"


def test_every_option_has_help(app: typer.Typer) -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert "--json" in text
    assert "--db" in text


def test_markdown_has_the_table_s_figures_and_nothing_of_it_is_markup(app: typer.Typer, db: str) -> None:
    table = CliRunner().invoke(app, ["free", "bbb222", "--db", db]).stdout
    said = CliRunner().invoke(app, ["free", "bbb222", "--markdown", "--db", db]).stdout
    rows = [line.split(" | ") for line in said.splitlines() if line.startswith("| ")]
    accuracy = next(row for row in rows if row[0] == "| Accuracy")
    assert len(accuracy) == 4
    shown = accuracy[1].partition("<br>")[0].replace("\\", "")
    assert shown in table
    assert "**Better in" in said
    assert "| agent\\.output | free | constrained |" in said


@pytest.mark.long
def test_a_gate_on_the_comparison_decides_the_exit_code(app: typer.Typer, tmp_path: Path) -> None:
    db = str(tmp_path / "many.db")
    with open_store(db) as store:
        fill(store, cases=150)
    better = CliRunner().invoke(app, ["free", "bbb222", "--gate", "--db", db])
    worse = CliRunner().invoke(app, ["bbb222", "free", "--gate", "--markdown", "--db", db])
    told = CliRunner().invoke(app, ["bbb222", "free", "--gate", "--json", "--db", db])
    assert better.exit_code == 0
    assert "gate passed" in better.stdout
    assert worse.exit_code == told.exit_code == 1
    assert "free: failed" in worse.stdout
    assert "| metric | run | baseline | difference |" not in worse.stdout, "the table is the comparison's"
    assert worse.stdout.count("| agent\\.output |") == 1
    assert json.loads(told.stdout)["gate"]["passed"] is False
