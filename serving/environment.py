"""All environment variables that the server reads or sets."""

import os
import sys
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """Where compiled kernels are kept: AGENTBENCH_CACHE, or the user's cache directory."""
    configured = os.environ.get("AGENTBENCH_CACHE")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("agentbench"))


def keep_gloo_local() -> None:
    """Ranks of a model are on one machine: they listen on loopback, unless GLOO_SOCKET_IFNAME says otherwise."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
