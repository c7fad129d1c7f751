"""The command line's options as overrides of a suite's configuration."""

from typing import Any

import pytest

from agentbench.config import parse_overrides
from agentbench.errors import UserError
from agentbench.experiment import backend_overrides, merged

RUN_OPTIONS = ("limit", "sample_seed", "repeats")


def overrides(config: pytest.Config) -> dict[str, Any]:
    """What the options set, by dotted path; `UserError` for one that is wrong."""
    option = config.getoption
    run = {f"run.{name}": option(f"agentbench_{name}") for name in RUN_OPTIONS}
    given = {path: value for path, value in run.items() if value is not None}
    return merged(backend_overrides(option("agentbench_backend")), parse_overrides(option("agentbench_set")), given)


def check_options(config: pytest.Config) -> None:
    """A wrong option is wrong usage: told before anything is collected."""
    try:
        overrides(config)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
