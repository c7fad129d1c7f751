"""The names that `serving` exports."""

import subprocess
import sys

import pytest

import serving
from serving.engine.engine import LLMEngine
from tests.serving.server_process import ROOT


def test_every_name_of_the_front_door_is_there() -> None:
    assert len(serving.__all__) <= 10
    assert all(getattr(serving, name) for name in serving.__all__)
    assert serving.LLMEngine is LLMEngine
    with pytest.raises(AttributeError, match="no attribute 'Engine'"):
        _ = serving.Engine  # type: ignore[attr-defined]


def test_the_configuration_needs_no_torch() -> None:
    code = "import sys; from serving import EngineConfig, find_compiler, lossless_knobs; print('torch' in sys.modules)"
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
