"""`agentbench show`."""

import json
from pathlib import Path

import pytest

from agentbench.cli.runs import show_command
from agentbench.core.errors import UserError
from agentbench.store import open_store
from tests.report.runs import fill


@pytest.fixture
def db(tmp_path: Path) -> str:
    path = str(tmp_path / "a.db")
    with open_store(path) as store:
        fill(store, cases=12)
    return path


def test_a_run_is_shown(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_command("free", db=db)
    text = capsys.readouterr().out
    assert "Accuracy" in text
    assert "failed (1)  case_3" in text
    assert "\x1b" not in text


def test_a_run_as_json(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_command("latest", as_json=True, db=db)
    found = json.loads(capsys.readouterr().out)
    assert found["label"] == "constrained"
    assert found["ttft_p50_s"] > 0.3


def test_a_conversation_is_shown(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_command("free", case="case_7", db=db)
    text = capsys.readouterr().out
    assert "Weather in city 7?" in text
    assert "tool weather" in text


def test_a_conversation_as_json(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_command("free", case="case_7", as_json=True, db=db)
    found = json.loads(capsys.readouterr().out)
    steps = found["attempt"]["trace"]["steps"]
    assert [step["kind"] for step in steps] == ["model_call", "tool_call", "model_call"]
    assert steps[0]["tpot_s"] == pytest.approx(0.02)
    assert found["case"]["id"] == "case_7"


def test_a_case_or_repeat_that_is_not_there(db: str) -> None:
    with pytest.raises(UserError, match=r"no case 'case_70'. Did you mean 'case_7'"):
        show_command("free", case="case_70", db=db)
    with pytest.raises(UserError, match=r"no repeat 4. Valid: 0"):
        show_command("free", case="case_7", repeat=4, db=db)
