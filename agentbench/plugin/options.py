"""The plugin's options as configuration of a suite, and paths relative to pytest's root directory."""

from pathlib import Path
from typing import Any

import pytest

from agentbench.core.errors import UserError
from agentbench.environment import database_url
from agentbench.gate.baseline import DIRECTORY
from agentbench.run.experiment import backend_overrides, merged
from agentbench.store.url import DEFAULT
from agentbench.suite.config import parse_overrides

RUN_OPTIONS = ("limit", "sample_seed", "repeats")


def overrides(config: pytest.Config) -> dict[str, Any]:
    """The settings from the options, by dotted path; `UserError` for an invalid option."""
    option = config.getoption
    run = {f"run.{name}": option(f"agentbench_{name}") for name in RUN_OPTIONS}
    run_settings = {path: value for path, value in run.items() if value is not None}
    return merged(
        backend_overrides(option("agentbench_backend")), parse_overrides(option("agentbench_set")), run_settings
    )


def check_options(config: pytest.Config) -> None:
    """Reports an invalid option as wrong usage, before anything is collected."""
    try:
        overrides(config)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def database(config: pytest.Config) -> str:
    """The store: from the option, AGENTBENCH_DB, or the ini file; by default results/agentbench.db under the root
    directory.
    """
    if named := config.getoption("agentbench_db") or database_url():
        return str(named)
    written = str(config.getini("agentbench_db") or "").strip()
    if "://" in written:
        return written
    root = config.inipath.parent if written and config.inipath else root_directory(config)
    return str(root / Path(written or DEFAULT).expanduser())


def baselines_directory(config: pytest.Config) -> Path:
    return root_directory(config) / DIRECTORY


def root_directory(config: pytest.Config) -> Path:
    """pytest's root directory when a file or an option sets it, otherwise the directory where pytest was started.

    Without either, pytest guesses from its arguments, and mistakes an option's value (a summary file) for one.
    """
    is_explicit = config.inipath or config.getoption("rootdir") or (config.rootpath / "setup.py").is_file()
    return config.rootpath if is_explicit else config.invocation_params.dir
