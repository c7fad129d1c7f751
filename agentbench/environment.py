"""The one place that reads environment variables."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_dir() -> Path:
    """Where pulled models and data sets are kept: AGENTBENCH_CACHE, or the user's cache directory."""
    given = os.environ.get("AGENTBENCH_CACHE")
    return Path(given).expanduser() if given else user_cache_path("agentbench")


def database_url() -> str | None:
    """The store's URL or file from AGENTBENCH_DB, None when it is not set."""
    return os.environ.get("AGENTBENCH_DB") or None


def variable(name: str) -> str | None:
    """A variable whose name the configuration gives (an API key), None when unset or empty."""
    return os.environ.get(name) or None


def with_variables(**changes: str) -> dict[str, str]:
    """The environment of a child process: ours with these changes."""
    return {**os.environ, **changes}
