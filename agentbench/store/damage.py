"""A SQLite file that is damaged: told in one line, with what can still be read of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from agentbench.core.errors import UserError
from agentbench.store.url import shown

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
NAMED = 5
"""Runs that are named; of more their number is told."""
PARTS = ("model_calls", "tool_calls", "user_turns", "scores")


@contextmanager
def damage_told(url: URL) -> Iterator[None]:
    """`UserError` in place of SQLite's error where the file itself is wrong."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        if getattr(cause, "sqlite_errorcode", 0) & 0xFF not in DAMAGED or not url.database:
            raise
        raise UserError(_told(url, str(cause))) from error


def _told(url: URL, cause: str) -> str:
    path = Path(url.database or "")
    return (
        f"the store {shown(url)} is damaged ({cause}); {_readable(path)}. Copy the file and restore a backup, or save"
        f" what there is: sqlite3 {path} .recover | sqlite3 saved.db."
        f' sqlite3 {path} "PRAGMA integrity_check" says where it is damaged'
    )


def _readable(path: Path) -> str:
    """Which runs can be read whole, found by reading them."""
    whole: list[str] = []
    broken = 0
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as connection:
            for (run_id,) in connection.execute("SELECT id FROM runs ORDER BY created_at DESC").fetchall():
                if _is_whole(connection, run_id):
                    whole.append(run_id)
                else:
                    broken += 1
    except sqlite3.Error:
        return "the list of its runs can't be read" if not whole else _listed(whole, broken)
    return _listed(whole, broken)


def _listed(whole: list[str], broken: int) -> str:
    named = ", ".join(whole[:NAMED]) + (" …" if len(whole) > NAMED else "")
    exported = f": {named}: agentbench export RUN --format run --out FILE saves one" if whole else ""
    return f"{len(whole)} of its {len(whole) + broken} runs can be read whole{exported}"


def _is_whole(connection: sqlite3.Connection, run_id: str) -> bool:
    attempts = "SELECT id FROM attempts WHERE run_id = ?"
    queries = [
        "SELECT * FROM runs WHERE id = ?",
        "SELECT * FROM attempts WHERE run_id = ?",
        "SELECT * FROM cases WHERE digest IN (SELECT case_digest FROM attempts WHERE run_id = ?)",
        *(f"SELECT * FROM {table} WHERE attempt_id IN ({attempts})" for table in PARTS),
    ]
    try:
        for query in queries:
            for _ in connection.execute(query, (run_id,)):
                pass
    except sqlite3.Error:
        return False
    return True
