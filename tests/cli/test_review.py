"""`agentbench review`, `label` and `agreement`: from a run that waits to a verdict and its agreement."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from agentbench.cli.review import agreement_command, label_command, review_command
from agentbench.cli.runs import runs_command, show_command
from agentbench.core.attempt import Score
from agentbench.core.errors import UserError
from agentbench.store import open_store
from tests.report.runs import a_case, a_run, an_attempt

WAITS = Score(name="human", value=0.0, passed=None, reason="waits for review")
JUDGED = (0.9, 0.1, 0.55, 0.5, 0.7, 0.2)


@pytest.fixture
def db(tmp_path: Path) -> str:
    """A run of six cases and one that failed: `judge` has graded them, `human` decides."""
    path = str(tmp_path / "a.db")
    run = replace(a_run("shop-1", "shop", 7, "free"), environment={"passed_by": ["human"]})
    with open_store(path) as store:
        store.create_run(run)
        for number, value in enumerate(JUDGED):
            judge = Score(name="judge", value=value, passed=value > 0.5, reason="said the judge")
            attempt = an_attempt(number, right=True, ttft_ms=100)
            store.add_attempt(run.id, replace(attempt, scores=(judge, WAITS), passed=None), a_case(number))
        store.add_attempt(run.id, an_attempt(6, right=False, ttft_ms=100, failed=True), a_case(6))
    return path


class Terminal:
    """What a reviewer types, key by key, and the comments asked for."""

    def __init__(self, keys: str, *comments: str) -> None:
        self.keys: Iterator[str] = iter(keys)
        self.comments = iter(comments)

    def getchar(self) -> str:
        return next(self.keys)

    def prompt(self, text: str, default: str) -> str:
        return next(self.comments)


def at_terminal(monkeypatch: pytest.MonkeyPatch, keys: str, *comments: str) -> None:
    terminal = Terminal(keys, *comments)
    monkeypatch.setattr(typer, "getchar", terminal.getchar)
    monkeypatch.setattr(typer, "prompt", terminal.prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)


def given(db: str) -> dict[str, tuple[bool, str]]:
    with open_store(db) as store:
        return {label.case_id: (label.passed, label.comment) for label in store.labels("shop-1")}


def listed(db: str, capsys: pytest.CaptureFixture[str], **options: object) -> list[str]:
    review_command("shop", reviewer="ann", as_json=True, db=db, **options)  # type: ignore[arg-type]
    return [each["case"] for each in json.loads(capsys.readouterr().out)["attempts"]]


def test_a_run_that_waits_says_how_many(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_command("shop", db=db)
    text = capsys.readouterr().out
    assert "Waiting for review" in text
    assert "0 / 0 / 1" in text
    assert "waiting (6)  case_0" in text
    runs_command(db=db)
    assert "6 waiting" in " ".join(capsys.readouterr().out.split())
    show_command("shop", case="case_1", db=db)
    assert "waits for review" in capsys.readouterr().out


def test_a_label_is_the_verdict(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    label_command("shop", "case_0", "pass", reviewer="ann", db=db)
    label_command("shop", "case_1:0", "fail", reviewer="ann", comment="wrong city", db=db)
    show_command("shop", as_json=True, db=db)
    found = json.loads(capsys.readouterr().out)
    counts = [found[f"attempts_{name}"] for name in ("right", "wrong", "failed", "waiting")]
    assert (counts, found["accuracy"]) == ([1, 1, 1, 4], 0.5)
    show_command("shop", case="case_1", db=db)
    assert "ann: fail (wrong city)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("case", "verdict", "message"),
    [
        ("case_0", "good", "verdict 'good': expected pass or fail"),
        ("case_6", "pass", "ended in a failure"),
        ("case_0:4", "pass", "has no attempt 'case_0:4'"),
        ("case_99", "pass", "no attempt of case 'case_99'"),
    ],
)
def test_what_can_not_be_labelled_is_told(db: str, case: str, verdict: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        label_command("shop", case, verdict, reviewer="ann", db=db)


def test_the_queue_is_what_the_reviewer_has_not_labelled(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(db, capsys) == [f"case_{number}" for number in range(6)]
    label_command("shop", "case_2", "pass", reviewer="ann", db=db)
    label_command("shop", "case_3", "pass", reviewer="bob", db=db)
    assert listed(db, capsys) == ["case_0", "case_1", "case_3", "case_4", "case_5"]
    assert listed(db, capsys, uncertain=True, scorer="judge", sample=2) == ["case_3", "case_4"]
    drawn = [listed(db, capsys, sample=3, seed=seed) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len({tuple(each) for each in drawn}) > 1
    with pytest.raises(UserError, match=r"unknown scorer 'juge'. Did you mean 'judge'"):
        listed(db, capsys, scorer="juge")


def test_a_list_for_scripts(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    review_command("shop", reviewer="ann", only_list=True, db=db)
    found = capsys.readouterr()
    assert found.out.splitlines()[0] == "case_0:0  It is 21 °C."
    assert "6 to review: agentbench label shop-1" in found.err


def test_a_reviewer_sees_the_conversation_and_no_verdict(
    db: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_terminal(monkeypatch, "pxcfsq", "no such city")
    review_command("shop", reviewer="ann", db=db)
    text = capsys.readouterr().out
    assert "Weather in city 0?" in text
    assert "said the judge" not in text
    assert "2 labelled as ann" in text
    assert given(db) == {"case_0": (True, ""), "case_1": (False, "no such city")}


def test_without_a_terminal_nothing_is_asked(db: str) -> None:
    with pytest.raises(UserError, match="review --list and label"):
        review_command("shop", reviewer="ann", db=db)
    with pytest.raises(UserError, match="--reviewer is empty"):
        review_command("shop", reviewer=" ", db=db)


def test_agreement_of_the_judge_and_of_the_reviewers(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    agreement_command("shop", db=db)
    assert "No labels yet" in capsys.readouterr().out
    for number, both in enumerate(["pp", "ff", "pp", "pf", "pp", "fp"]):
        for reviewer, letter in zip(("ann", "bob"), both, strict=True):
            verdict = "pass" if letter == "p" else "fail"
            label_command("shop", f"case_{number}", verdict, reviewer=reviewer, db=db)
    agreement_command("shop", as_json=True, db=db)
    found = json.loads(capsys.readouterr().out)
    assert (found["labelled"], found["tied"]) == (6, 2)
    judge, people = found["pairs"]
    assert (judge["a"], judge["b"], judge["attempts"], judge["kappa"]) == ("judge", "reviewers", 4, 1.0)
    assert (people["a"], people["b"], people["table"]) == ("ann", "bob", [[3, 1], [1, 1]])
    assert people["kappa"] == pytest.approx((4 / 6 - 20 / 36) / (1 - 20 / 36))
    agreement_command("shop", scorer="judge", db=db)
    text = " ".join(capsys.readouterr().out.split())
    assert "66.7 %" in text
    assert "they never disagreed" in text.replace("| ", "")
    with pytest.raises(UserError, match="unknown scorer 'human'"):
        agreement_command("shop", scorer="human", db=db)
