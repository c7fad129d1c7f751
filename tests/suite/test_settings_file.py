"""Settings from a file: dotted paths and sections are one."""

from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.suite.config import read_settings


def test_paths_and_sections_are_read_alike(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("agent.output: free\nserving: {max_num_seqs: 8, server: bundled}\nbackend: scripted\n")
    settings = read_settings(file)
    assert settings == {
        "agent.output": "free",
        "serving.server": "bundled",
        "serving.max_num_seqs": 8,
        "backend": "scripted",
    }
    assert list(settings).index("serving.server") < list(settings).index("serving.max_num_seqs")


def test_an_unknown_key_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("agent: {output: free}\nagnet.output: free\n")
    with pytest.raises(UserError, match=r"best\.yaml:2: unknown key 'agnet\.output'\. Valid: agent, serving"):
        read_settings(file)
