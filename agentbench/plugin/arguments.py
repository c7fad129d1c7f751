"""The plugin's options, on the command line and in pytest's ini file. Every pytest run imports this."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

SUITE_FILE = "suite.yaml"


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("agentbench", "agentbench: suites of agent cases (suite.yaml)")
    add = group.addoption
    add("--agentbench-backend", type=_text, metavar="NAME|URL", help="Run suites on this backend, server or URL.")
    add("--agentbench-limit", type=_number(1), metavar="N", help="Run N cases of each suite, drawn by seed.")
    add("--agentbench-sample-seed", type=_number(0), metavar="SEED", help="Seed of the draw that the limit makes.")
    add(
        "--agentbench-set",
        type=_text,
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="Set a configuration key.",
    )
    add("--agentbench-repeats", type=_number(1), metavar="N", help="Run each case N times, each with its own seed.")
    add("--agentbench-baseline", type=_text, metavar="NAME", help="Hold gates against this baseline or run.")
    add("--agentbench-summary", type=_text, metavar="FILE", help="Add each suite's verdict to this file, as Markdown.")
    add(
        "--agentbench-flake-reruns",
        type=_number(0),
        default=0,
        metavar="N",
        help="Run a failing case up to N times more.",
    )
    add(
        "--agentbench-db", type=_text, metavar="FILE|URL", help="The store, instead of AGENTBENCH_DB and agentbench_db."
    )
    parser.addini(
        "agentbench_db", "The store: a URL, or a SQLite file from the ini file's directory. Default: AGENTBENCH_DB."
    )
    parser.addini(
        "agentbench_suites",
        "Which files are suites: names, or paths from the root directory, with * and ?.",
        type="args",
        default=[SUITE_FILE],
    )


def _text(text: str) -> str:
    """Text that is there. What argparse gets raised here is told as wrong usage."""
    if not text.strip():
        raise ArgumentTypeError(f"{text!r} is empty (a variable that is not set?); give a value, or leave it out")
    return text


def _number(least: int) -> Callable[[str], int]:
    def parsed(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a whole number; give {least} or more") from None
        if number < least:
            raise ArgumentTypeError(f"{text} is too small; give {least} or more")
        return number

    return parsed


def is_suite(file: Path, session: pytest.Session) -> bool:
    """Whether the file is a suite by its name and place; a suite.yaml that was named itself always is."""
    if file.name == SUITE_FILE and session.isinitpath(file):
        return True
    root = session.config.rootpath
    place = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
    return any(
        fnmatch(place if "/" in pattern else file.name, pattern)
        for pattern in session.config.getini("agentbench_suites")
    )


def check_summary(config: pytest.Config) -> None:
    """A summary that can't be written is wrong usage: told before anything is run."""
    named = config.getoption("agentbench_summary")
    if named and (why := _unwritable(Path(named))):
        raise pytest.UsageError(f"--agentbench-summary {named!r}: {why}; name a file that can be written")


def _unwritable(file: Path) -> str:
    """Why the file can't be added to, empty when it can; nothing is written for that."""
    from os import W_OK, access

    if file.is_dir():
        return "it is a directory"
    nearest = file if file.exists() else next(place for place in file.absolute().parents if place.exists())
    if nearest != file and not nearest.is_dir():
        return f"{nearest} is not a directory"
    return "" if access(nearest, W_OK) else f"{nearest} can't be written"
