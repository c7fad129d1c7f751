"""`agentbench runs`."""

import json
from pathlib import Path

import pytest

from agentbench.cli.runs import runs_command
from agentbench.core.errors import UserError
from agentbench.store import open_store
from tests.report.runs import fill


@pytest.fixture
def db(tmp_path: Path) -> str:
    path = str(tmp_path / "a.db")
    with open_store(path) as store:
        fill(store, cases=12)
    return path


def test_runs_are_listed(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    runs_command(db=db)
    text = capsys.readouterr().out
    assert text.index("weather-20260304-050700-bbb222") < text.index("weather-20260304-050600-aaa111")


def test_json_is_only_json(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    runs_command(limit=1, as_json=True, db=db)
    (run,) = json.loads(capsys.readouterr().out)
    assert run["label"] == "constrained"
    assert run["attempts_right"] + run["attempts_wrong"] + run["attempts_failed"] == run["attempts_planned"] == 12


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no store"):
        runs_command(db=str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []
