"""`agentbench pull` as a user types it; the index is a directory of small wheels."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agentbench.cli.app import app
from agentbench.core.errors import UserError
from agentbench.hub import Artifact
from tests.hub.conftest import tiny
from tests.hub.test_pull import PARTS, register

__all__ = ["tiny"]

TERMS = "https://example.org/terms"


def typed(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["pull", *arguments], input=answer, catch_exceptions=False)


def test_it_prints_one_line_a_name_and_the_second_time_too(tiny: Artifact) -> None:
    first, second = typed("tiny-model"), typed("tiny-model")
    assert (first.exit_code, first.stdout.count("\n")) == (0, 1)
    assert Path(first.stdout.removeprefix("tiny-model: ").strip()).read_bytes() == b"".join(PARTS)
    assert second.stdout == first.stdout
    assert (first.stderr, second.stderr) == ("tiny-model: 0.0 MB, licence MIT\n", "")


def test_an_unknown_name_is_told_before_anything_is_pulled(tiny: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown model or data set 'tiny-modle'\. Did you mean 'tiny-model'"):
        typed("tiny-model", "tiny-modle")
    assert not (tmp_path / "cache").exists()


def test_without_a_terminal_terms_are_accepted_by_an_option(tiny: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, replace(tiny, terms=TERMS))
    with pytest.raises(UserError, match=r"comes under MIT \(https://example\.org/terms\).*--accept-licence"):
        typed("tiny-model")
    assert typed("tiny-model", "--accept-licence").exit_code == 0
    assert typed("tiny-model").exit_code == 0


@pytest.mark.parametrize(("answer", "exit_code"), [("n\n", 1), ("y\n", 0)])
def test_at_a_terminal_the_terms_are_a_question(
    answer: str, exit_code: int, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, replace(tiny, terms=TERMS))
    monkeypatch.setattr("agentbench.cli.models._at_terminal", lambda: True)
    done = typed("tiny-model", answer=answer)
    assert done.exit_code == exit_code
    assert TERMS in done.stderr
    assert ("tiny.gguf" in done.stdout) is (exit_code == 0)
