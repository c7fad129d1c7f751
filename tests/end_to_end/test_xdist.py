"""A suite on the bundled server under pytest-xdist: the workers share one server and one run."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentbench.store import open_store
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.processes import running, wait_until

pytestmark = pytest.mark.model


def test_two_workers_share_one_server(model: Path, tmp_path: Path, environment: Callable[[], dict[str, str]]) -> None:
    suite = str(ROOT / "suites" / "bfcl_simple")
    settings = [f"serving.model={model}", "serving.max_model_len=1024", "agent.max_tokens=8"]
    options = ["-n", "2", "--agentbench-limit", "4", *(f"--agentbench-set={setting}" for setting in settings)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", suite, "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), *options],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout
    assert "agentbench: bfcl_simple" in done.stdout
    with open_store(str(tmp_path / "store.db")) as store:
        [run] = store.list_runs()
        attempts = store.attempts(run.id)
    assert (run.status, len(attempts)) == ("finished", 4)
    assert {call.request["model"] for attempt in attempts for call in attempt.trace.model_calls} == {model.stem}
    assert len(list((tmp_path / "results" / "logs").iterdir())) == 1
    assert wait_until(lambda: not running(str(model)))
