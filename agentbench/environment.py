"""Reads environment variables; no other module does."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from platformdirs import user_cache_path

from agentbench.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy. `credentials` are "user:password", empty when it needs none."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)


def cache_dir() -> Path:
    """The directory of pulled models and data sets: AGENTBENCH_CACHE, or the user's cache directory."""
    directory = os.environ.get("AGENTBENCH_CACHE")
    return Path(directory).expanduser() if directory else user_cache_path("agentbench")


def database_url() -> str | None:
    """The store's URL or file from AGENTBENCH_DB, None when it is not set."""
    return os.environ.get("AGENTBENCH_DB") or None


def variable(name: str) -> str | None:
    """The value of a variable that the configuration names (an API key); None when unset or empty."""
    return os.environ.get(name) or None


def https_proxy(host: str) -> Proxy | None:
    """The proxy of HTTPS_PROXY (or ALL_PROXY) for an https server on `host`; None when NO_PROXY excludes it."""
    from urllib.request import getproxies, proxy_bypass

    named = getproxies()
    url = named.get("https") or named.get("all")
    if not url or proxy_bypass(host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise UserError(f"HTTPS_PROXY names a proxy {parts.scheme}://{parts.hostname}; give it as http://HOST:PORT")
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return Proxy(host=parts.hostname, port=parts.port or 80, credentials=credentials)


def with_variables(**changes: str) -> dict[str, str]:
    """The environment of a child process: ours with these changes."""
    return {**os.environ, **changes}
