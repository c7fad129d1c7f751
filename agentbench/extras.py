"""Messages about missing packages: how to install an extra of this installation."""

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from agentbench.core.errors import UserError

DISTRIBUTION = "agentbench-harness"
"""The name that pip knows; the distribution called agentbench is someone else's."""


def install_hint(extra: str) -> str:
    """The command that installs `extra` from this installation's source: a checkout, a repository or an index."""
    try:
        origin = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return f"pip install -e '.[{extra}]' in a checkout of agentbench"
    return "pip install " + _requirement(extra, json.loads(origin) if origin else None)


def needs(package: str, what: str, extra: str) -> None:
    """`UserError` with the install command when `package` is missing, before anything is stored or started."""
    if find_spec(package) is None:
        raise UserError(f"{what} needs {package}: {install_hint(extra)}")


def requirement() -> str | None:
    """The pip requirement for this exact version on another machine; None for an installation from a directory."""
    try:
        found = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return None
    written = found.read_text("direct_url.json")
    if not written:
        return f"{DISTRIBUTION}=={found.version}"
    repository = _repository(json.loads(written))
    return repository and f"{DISTRIBUTION} @ {repository}"


def _repository(origin: dict[str, dict[str, str]]) -> str | None:
    facts = origin.get("vcs_info")
    return f"{facts['vcs']}+{origin['url']}@{facts['commit_id']}" if facts else None


def _requirement(extra: str, origin: dict[str, dict[str, str]] | None) -> str:
    """`origin` is a `direct_url.json` (PEP 610), None for an installation from an index."""
    named = f"{DISTRIBUTION}[{extra}]"
    if origin is None:
        return shlex.quote(named)
    url = str(origin["url"])
    if origin.get("dir_info", {}).get("editable"):
        return "-e " + shlex.quote(f"{Path(url2pathname(urlsplit(url).path))}[{extra}]")
    return shlex.quote(f"{named} @ {_repository(origin) or url}")
