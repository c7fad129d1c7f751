"""Models for the tests: the default model, and tiny random ones that transformers saves."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serving.checkpoint.random_checkpoints import random_model, save_checkpoint

CheckpointMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def model_path() -> Path:
    """AGENTBENCH_TEST_MODEL, or the pulled default model. A missing model is an error, not a skip."""
    override = os.environ.get("AGENTBENCH_TEST_MODEL")
    if override:
        return Path(override)
    from agentbench.hub import resolve_model

    return resolve_model("smollm2-135m-instruct")


ALIGNED: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 64, "num_attention_heads": 4}


@pytest.fixture(scope="session")
def transformers() -> Any:
    """The reference implementation. Importing it warns about missing optional packages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        return transformers


@pytest.fixture(scope="session")
def make_checkpoint(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> CheckpointMaker:
    """A function that saves a small random checkpoint and returns its directory. Its tokens are bytes."""

    def make(architecture: str = "llama", **overrides: Any) -> Path:
        directory = tmp_path_factory.mktemp("checkpoint")
        save_checkpoint(random_model(transformers, architecture, overrides), directory)
        return directory

    return make


@pytest.fixture(scope="session")
def tiny_model(make_checkpoint: CheckpointMaker) -> Path:
    return make_checkpoint()


@pytest.fixture(scope="session")
def aligned_model(make_checkpoint: CheckpointMaker) -> Path:
    """A model that the compiled kernels and those of a GPU support.

    The size of its heads is a multiple of 16, and the inputs of its layers are a multiple of 32.
    """
    return make_checkpoint("llama", **ALIGNED)
