"""The command that `agentbench serve` becomes."""

import os
from pathlib import Path

import pytest

from agentbench.cli.serve import serve_command


def test_a_file_is_served_under_its_stem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, command: commands.append(command))
    model = tmp_path / "q.gguf"
    model.touch()
    serve_command(model=str(model), host="127.0.0.1", port=0)
    [command] = commands
    assert command[command.index("--model") + 1] == str(model)
    assert command[command.index("--served-model-name") + 1] == "q"
