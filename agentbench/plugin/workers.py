"""pytest-xdist: the directory that a session's workers share, which says who makes which run."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from agentbench.plugin.once import runs_of, stop
from agentbench.plugin.stash import HANDED_OUT_AGAIN

SHARED = pytest.StashKey[Path]()
INPUT = "agentbench"


def share_directory(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Tell a worker that is about to start where the session's directory is."""
    if SHARED not in config.stash:
        config.stash[SHARED] = Path(tempfile.mkdtemp(prefix="agentbench-"))
    workerinput[INPUT] = str(config.stash[SHARED])


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def shared_directory(config: pytest.Config) -> Path | None:
    """The session's directory in a worker, None in any other process."""
    found = getattr(config, "workerinput", {}).get(INPUT)
    return Path(found) if found else None


def stop_workers(config: pytest.Config) -> list[str]:
    """In the controller, at the session's end: whoever still makes a run lets go of it. The ids of the runs."""
    directory = config.stash.get(SHARED, None)
    if directory is None:
        return []
    stop(directory)
    return runs_of(directory)


def forget(config: pytest.Config) -> None:
    """Remove the directory, once the workers are gone."""
    if SHARED in config.stash:
        shutil.rmtree(config.stash[SHARED], ignore_errors=True)


def hand_out_again(item: str, report: pytest.TestReport, sched: Any) -> None:
    """In the controller: an item of a suite whose worker died goes to another one. It did not end the worker itself:
    what did is one of the attempts in flight.

    Schedulers that hand out whole files (loadfile, loadscope) can't do that; the item then stays failed.
    """
    if item.partition("::")[0].endswith((".yaml", ".yml")):
        try:
            sched.mark_test_pending(item)
        except NotImplementedError:
            return
        vars(report)["outcome"] = HANDED_OUT_AGAIN
