"""Every environment variable that the server reads or sets."""

import os
import sys
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """The directory of compiled kernels and pulled models: AGENTBENCH_CACHE, or the user's cache directory."""
    configured = os.environ.get("AGENTBENCH_CACHE")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("agentbench"))


def keep_gloo_local() -> None:
    """Let Gloo listen on loopback only, since all ranks run on one machine. GLOO_SOCKET_IFNAME overrides this."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
