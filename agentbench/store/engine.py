"""A SQLAlchemy engine whose transactions are safe for several writing processes, on SQLite and PostgreSQL."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.store.pool import ClosingPool

BUSY_S = 60
"""How long a writer waits for another one's transaction. An attempt is committed in milliseconds."""


def make_engine(url: URL) -> Engine:
    """An engine for `url`; it does not connect yet. Raises `UserError` for a driver that is not installed."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    try:
        return create_engine(url, poolclass=ClosingPool, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except ModuleNotFoundError as error:
        raise UserError(
            f"PostgreSQL needs the package {error.name!r}. Install it: {install_hint('postgres')}"
        ) from error


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take SQLite's write lock when they begin.

    A transaction that reads first and takes the lock later fails at once when another writer was between.
    """
    return engine.execution_options(agentbench_writes=True)


def is_read_only(url: URL) -> bool:
    """Whether it is a SQLite file that is there and that nobody can write here: a snapshot, a mount for reading."""
    if url.get_backend_name() != "sqlite" or not url.database or not Path(url.database).is_file():
        return False
    path = Path(url.database)
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _sqlite_engine(url: URL) -> Engine:
    """A file that can't be written is read as one that nothing changes: a write-ahead log needs a file beside it."""
    if is_read_only(url):
        path = Path(str(url.database)).resolve()
        _check_log(path)
        url = url.set(database=path.as_uri(), query={"immutable": "1", "uri": "true"})
    pool = None if url.database in (None, "", ":memory:") else ClosingPool  # one in memory is its connection's own
    engine = create_engine(url, poolclass=pool, connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_log(path: Path) -> None:
    """`UserError` where the last changes are in the write-ahead log, which can't be read without writing."""
    log = path.with_name(f"{path.name}-wal")
    if log.is_file() and log.stat().st_size:
        raise UserError(f"it can't be written, and its last changes are still in {log}; copy both to where it can")


def _prepare_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    try:
        _set_pragmas(connection)
    except BaseException:
        connection.close()  # SQLAlchemy before 2.1 forgets it
        raise


def _set_pragmas(connection: sqlite3.Connection) -> None:
    # None: the driver begins no transaction of its own, so that ours hold schema changes too.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # With a write-ahead log, NORMAL loses nothing when a process is killed; a power cut may lose the last
    # commits, never the file's consistency.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("agentbench_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def make_directory(url: URL) -> None:
    """Makes the directory of a SQLite file."""
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)


def use_write_ahead_log(engine: Engine) -> None:
    """Turns a SQLite file to its write-ahead log, in which readers and the writer do not wait for each other.

    SQLite does not wait for its busy timeout here, so that several processes at a new file need their own.
    """
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        _set_journal(connection.cursor(), deadline=time.monotonic() + BUSY_S)
    finally:
        connection.close()


def _set_journal(cursor: Any, deadline: float) -> None:
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
