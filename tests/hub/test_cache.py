"""Names and paths that are no model or data set."""

import pytest

from agentbench.errors import UserError
from agentbench.hub import dataset_path, resolve_model


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
