"""Databases of every revision of the schema, written by the code of their day, under the code of today.

`revisions/NUMBER.sql` is the dump of a store with two runs of three cases. `shown.json` is what `agentbench show`
printed as JSON of the first of them then.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import agentbench

FOLDER = Path(__file__).parent / "revisions"
SHOWN: dict[str, dict[str, Any]] = json.loads((FOLDER / "shown.json").read_text())


@pytest.fixture
def db(revision: str, tmp_path: Path) -> str:
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path)
    connection.executescript((FOLDER / f"{revision}.sql").read_text())
    connection.close()
    return str(path)


def printed(*arguments: str) -> Any:
    done = agentbench(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_is_a_database_of_each_revision() -> None:
    import agentbench.store

    versions = Path(agentbench.store.__file__).parent / "migrations" / "versions"
    assert sorted(SHOWN) == sorted(path.name[:4] for path in versions.glob("0*.py"))


@pytest.mark.parametrize("revision", SHOWN)
def test_its_runs_are_listed_shown_compared_and_reported(revision: str, db: str, tmp_path: Path) -> None:
    then = SHOWN[revision]
    assert [run["label"] for run in printed("runs", "--db", db, "--json")] == ["second", "first"]
    now = printed("show", "first", "--db", db, "--json")
    assert {name: now[name] for name in then} == then
    compared = printed("compare", "first", "second", "--db", db, "--json")
    assert compared["b"]["label"] == "second"
    page = tmp_path / "page.html"
    done = agentbench("report", "first", "second", "--db", db, "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert all(word in page.read_text() for word in ("first", "second", "words", "66.7"))
