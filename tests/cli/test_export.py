"""`agentbench export` and `import`, as typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.core.errors import UserError
from agentbench.store import open_store
from tests.report.runs import fill

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTBENCH_DB", "a.db")
    with open_store("a.db") as store:
        fill(store, cases=12)


def printed(*arguments: str) -> str:
    result = RUNNER.invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_tables_go_to_a_directory() -> None:
    said = printed("export", "free", "--format", "csv", "--out", "tables")
    assert "12 attempts, 24 model calls, 12 tool calls" in said
    assert said.endswith("written to tables\n")
    assert Path("tables/attempts.csv").read_text().startswith("run_id,case_id,repeat,cluster,")


def test_a_run_goes_to_another_store() -> None:
    said = printed("export", "free", "--format", "run", "--out", "free.agentbench")
    assert "12 cases, 12 attempts written to free.agentbench" in said
    assert "imported: 12 cases, 12 attempts" in printed("import", "free.agentbench", "--db", "b.db")
    assert "is stored already, with the same content" in printed("import", "free.agentbench", "--db", "b.db")
    assert "with the same content" in printed("import", "free.agentbench")
    shown = [printed("show", "free", "--json", "--db", name) for name in ("a.db", "b.db")]
    assert shown[0] == shown[1]


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="there is no file absent"):
        RUNNER.invoke(app, ["import", "absent"], catch_exceptions=False)
    result = RUNNER.invoke(app, ["export", "free", "--format", "xml", "--out", "x"])
    assert result.exit_code == 2
    assert "'parquet', 'csv', 'jsonl', 'run'" in result.stderr
