"""The command line as a user types it: in this process, which has imported what it needs, or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from agentbench.cli.app import main

ROOT = Path(__file__).parents[2]
Done = subprocess.CompletedProcess[str]


def agentbench(*arguments: str, cwd: Path = ROOT, **variables: str) -> Done:
    """What `agentbench` with these arguments prints, and its exit code."""
    output, errors = StringIO(), StringIO()
    with _typed(arguments, cwd, variables), redirect_stdout(output), redirect_stderr(errors):
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return Done(["agentbench", *arguments], code, output.getvalue(), errors.getvalue())


@contextmanager
def _typed(arguments: tuple[str, ...], cwd: Path, variables: dict[str, str]) -> Iterator[None]:
    """Nobody is at the keyboard, and the process goes on whatever threads are left."""
    with (
        Path(os.devnull).open() as nothing,
        chdir(cwd),
        patch.dict(os.environ, variables),
        patch.object(sys, "argv", ["agentbench", *arguments]),
        patch.object(sys, "stdin", nothing),
        patch("agentbench.cli.app._end_with"),
    ):
        yield


def process(*arguments: str, cwd: Path = ROOT, **variables: str) -> Done:
    """The same by `python -m agentbench`, for what only a whole process shows: `serve` becomes the server."""
    return subprocess.run(
        [sys.executable, "-m", "agentbench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        timeout=120,
    )


def refused(done: Done) -> str:
    """The one line on stderr of a command that exited with 2."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]
