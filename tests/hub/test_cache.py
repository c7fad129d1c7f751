"""Names and paths that are no model or data set."""

from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.hub import dataset_path, resolve_model, served_name


@pytest.mark.parametrize("model", ["", "x" * 5000, "a\0b", "~no_such_user_here/x", "bfcl"])
def test_what_is_no_model_is_told(model: str) -> None:
    with pytest.raises(UserError, match="neither a known name"):
        resolve_model(model)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UserError, match="Did you mean 'smollm2-135m-instruct'"):
        resolve_model("smollm2-135m")
    with pytest.raises(UserError, match=r"unknown data set 'bfc'\. Did you mean 'bfcl'"):
        dataset_path("bfc")


def test_a_model_is_no_data_set() -> None:
    with pytest.raises(UserError, match="unknown data set 'gemma3-270m'"):
        dataset_path("gemma3-270m")


def test_a_file_is_served_by_its_stem_and_a_directory_by_its_name(tmp_path: Path) -> None:
    file, folder = tmp_path / "q.v1.gguf", tmp_path / "Qwen2.5-0.5B"
    file.touch()
    folder.mkdir()
    assert [served_name(str(file)), served_name(str(folder))] == ["q.v1", "Qwen2.5-0.5B"]
    assert [served_name("smollm2-135m-instruct"), served_name("hf:a/b")] == ["smollm2-135m-instruct", "hf:a/b"]
