"""Suites under pytest-xdist: one run and one server for all workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentbench.errors import UserError
from agentbench.plugin.session import SuiteSession

SHARED = pytest.StashKey[dict[str, Any]]()


def share_suites(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Hand a worker the runs and endpoints of the suites under the command line's arguments."""
    shared = config.stash.get(SHARED, None)
    if shared is None:
        shared = config.stash[SHARED] = _shared(config)
    workerinput["agentbench"] = shared


def _shared(config: pytest.Config) -> dict[str, Any]:
    try:
        return {str(path): SuiteSession.of(config).share(path) for path in _suite_files(config)}
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def _suite_files(config: pytest.Config) -> Iterator[Path]:
    seen: set[Path] = set()
    for argument in config.args:
        path = (config.invocation_params.dir / argument.split("::")[0]).resolve()
        found = [path] if path.name == "suite.yaml" else sorted(path.rglob("suite.yaml"))
        for file in found:
            if file not in seen and file.is_file():
                seen.add(file)
                yield file
