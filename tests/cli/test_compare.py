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
