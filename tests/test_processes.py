"""Which process made a run, and whether it has ended."""

import json
import os
import platform
import subprocess
import sys
from typing import Any

import pytest

from agentbench import processes
from agentbench.processes import has_ended, identity

IDENTITY = "import json; from agentbench.processes import identity; print(json.dumps(identity()))"


@pytest.fixture(scope="module")
def ended() -> dict[str, Any]:
    """A process that was, and is not any more."""
    done = subprocess.run([sys.executable, "-c", IDENTITY], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_process_has_ended_or_not(ended: dict[str, Any]) -> None:
    assert not has_ended(identity())
    assert has_ended(ended)


def test_a_number_that_was_given_out_again_is_another_process(ended: dict[str, Any]) -> None:
    assert has_ended({**ended, "pid": os.getpid()})


def test_what_is_not_known_has_not_ended(ended: dict[str, Any]) -> None:
    assert not has_ended({})
    assert not has_ended({"host": platform.node(), "pid": "1"})
    assert not has_ended({**ended, "host": "elsewhere"})
    assert not has_ended({**ended, "pid_of": ["pid:[1]", "5"]}), "another container's"


def test_without_proc_a_pid_that_is_gone_has_ended(monkeypatch: pytest.MonkeyPatch, ended: dict[str, Any]) -> None:
    monkeypatch.setattr(processes, "_of", lambda pid: None)
    assert has_ended({"host": platform.node(), "pid": ended["pid"]})
    assert not has_ended({"host": platform.node(), "pid": os.getpid()})
