"""The default model under a name of its own, so that a test knows the processes it is responsible for."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agentbench.hub import resolve_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(resolve_model("smollm2-135m-instruct"), tmp_path / "own-copy.gguf"))


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[], dict[str, str]]:
    return lambda: {**os.environ, "PYTHONPATH": str(ROOT), "AGENTBENCH_DB": str(tmp_path / "store.db")}
