"""YAML documents with the line of every key."""

from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.suite.yaml_file import read_yaml


def test_keys_know_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: x\nagent:\n  name: chat\n  temperature: 0\nscorers:\n  - exact\n")
    document = read_yaml(path)
    assert document.where(("agent", "temperature")) == f"{path}:4"
    assert document.where(("scorers", 0)) == f"{path}:6"
    assert document.where(("agent", "missing")) == f"{path}:2"
    assert document.where(("nowhere",)) == str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\n", r"a\.yaml:3: not valid YAML"),
        ("a: 1\na: 2\n", r"a\.yaml:2: key 'a' is set twice; the first is on line 1"),
        ("- 1\n", r"a\.yaml:1: expected a mapping"),
        ("", r"a\.yaml:1: expected a mapping"),
        ("a: \x00\n", "not valid YAML"),
        ("a: !!python/object:os.system x\n", r"a\.yaml:1: not valid YAML"),
    ],
)
def test_bad_yaml_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="can't be read"):
        read_yaml(path)
