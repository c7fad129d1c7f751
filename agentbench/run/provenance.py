"""The environment of a run: git commit, machine, versions."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path

from agentbench.processes import identity
from agentbench.version import __version__

PACKAGES = ("torch", "llguidance")
UNTRACKED = 20
"""Most untracked files to name."""


def provenance(root: Path, outputs: Sequence[Path] = ()) -> dict[str, object]:
    """Facts that a later reader needs to judge a run's figures; `root` is a directory of the suite's repository.

    `git_dirty` says whether a tracked file was changed, None when git can't tell. `git_untracked` names untracked
    files. Both ignore `outputs`, the files that runs write.
    """
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": _git(root, "rev-parse", "--verify", "HEAD") or "",
        "git_branch": _git(root, "rev-parse", "--abbrev-ref", "HEAD") or "",
        "git_dirty": None if changed is None else bool(changed),
        "git_untracked": _untracked(root, outputs),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **identity(),
        "versions": {"agentbench": __version__, **{name: found for name in PACKAGES if (found := _version(name))}},
    }


def cpu_model() -> str:
    """The processor's name as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _untracked(root: Path, outputs: Sequence[Path]) -> list[str]:
    """The repository's first untracked files and directories that git does not ignore, by their path from its top. The
    suite's own directory is included even when git ignores it.
    """
    top, listed = _git(root, "rev-parse", "--show-toplevel"), _git(root, "status", "--porcelain", "-z", "-unormal")
    if not top or listed is None:
        return []
    names = [entry[3:].rstrip("/") for entry in listed.split("\0") if entry.startswith("?? ")]
    if not _git(root, "ls-files", "--", "."):
        names.insert(0, os.path.relpath(root.resolve(), top))
    found = (name for name in dict.fromkeys(names) if not _is_output(Path(top) / name, outputs))
    return list(islice(found, UNTRACKED))


def _is_output(path: Path, outputs: Sequence[Path]) -> bool:
    if path.name == "__pycache__":
        return True
    return any(path.is_relative_to(output.resolve()) for output in outputs)


def _git(root: Path, *arguments: str) -> str | None:
    """The output of a git command; None when it fails: outside a repository, before the first commit, without git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
