"""The environment variables that the server reads: all of them are read here."""

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """Where compiled kernels are kept: AGENTBENCH_CACHE, or the user's cache directory."""
    configured = os.environ.get("AGENTBENCH_CACHE")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("agentbench"))
