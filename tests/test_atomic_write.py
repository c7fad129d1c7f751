"""What is written takes the place of what was there, or leaves it as it was."""

from pathlib import Path

import pytest

from agentbench.atomic_write import atomic_write
from agentbench.core.errors import UserError
from agentbench.loadtest.result import write_json


def test_a_file_takes_a_file_s_place(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    write_json(tmp_path / "a.json", {"a": 2})
    assert (tmp_path / "a.json").read_text() == '{"a":2}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_directory_takes_a_directory_s_place(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_write(tmp_path / "out", force=True) as draft:
            draft.mkdir()
            (draft / name).touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_no_file_takes_a_directory_s_place(tmp_path: Path) -> None:
    kept = tmp_path / "mine" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(UserError, match=r"cannot write .*mine: Is a directory"):
        write_json(tmp_path / "mine", {})
    assert kept.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def _half(path: Path) -> None:
    with atomic_write(path, force=True) as draft:
        draft.write_text("half")
        raise ValueError("no")


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    with pytest.raises(ValueError, match="no"):
        _half(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
