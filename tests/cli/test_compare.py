"""`agentbench compare`."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agentbench.cli.compare import compare_command
from agentbench.core.errors import UserError
from agentbench.store import open_store
from tests.report.runs import a_case, a_run, an_attempt, fill


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


@pytest.fixture
def three(db: str) -> str:
    with open_store(db) as store:
        store.create_run(a_run("weather-ccc333", "third", 12, "free", minutes=2))
        store.add_attempts("weather-ccc333", [(an_attempt(n, right=True, ttft_ms=900), a_case(n)) for n in range(12)])
    return db


def test_three_runs_have_a_row_each_and_a_page(app: typer.Typer, three: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["free", "bbb222", "third", "--html", str(page), "--db", three])
    assert result.exit_code == 0
    assert all(row in result.stdout for row in ("| A  free ", "| B  constrained ", "| C  third "))
    assert "C against A" in result.stdout
    assert result.stderr == f"agentbench: wrote {page}\n"
    text = page.read_text(encoding="utf-8")
    assert text.count(">on it</td>") == result.stdout.count("on it |")
    assert '"C third"' in text


def test_the_json_of_three_runs_is_that_of_their_page(app: typer.Typer, three: str) -> None:
    result = CliRunner().invoke(app, ["free", "bbb222", "third", "--json", "--db", three])
    found = json.loads(result.stdout)
    assert [run["label"] for run in found["runs"]] == ["free", "constrained", "third"]
    assert "weather-ccc333" in found["pareto"]["agent_goodput_per_s"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["free"], "1 run to compare: expected 2 to 8"),
        (["free", "bbb222", "third", "--gate"], "--gate judges one run against another: 3 runs given; give two"),
    ],
)
def test_other_numbers_of_runs_are_refused(app: typer.Typer, three: str, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, [*arguments, "--db", three])
    assert isinstance(result.exception, UserError)
    assert said in str(result.exception)


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
