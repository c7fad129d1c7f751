"""The database connection of the store, for SQLite and PostgreSQL.

It makes an engine that several processes can write with, upgrades the schema, waits for a server that is away, and
explains a damaged file.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.store.migrations.revision import CURRENT, VERSION_TABLE
from agentbench.store.tables import Base
from agentbench.store.url import shown

if TYPE_CHECKING:
    from alembic.config import Config


class ClosingPool(QueuePool):
    """After `dispose` it keeps no connection: one still in use by a thread is closed when it is returned.

    SQLAlchemy's own pool would keep that connection open until garbage collection.
    """

    _disposed = False

    def dispose(self) -> None:
        self._disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        if self._disposed:  # checked after the connection is in the pool, so that a concurrent `dispose` finds it
            super().dispose()


BUSY_S = 60
"""How long a writer waits for another writer's transaction. Committing an attempt takes milliseconds."""


def make_engine(url: URL) -> Engine:
    """An engine for `url`, not connected yet. Raises `UserError` for a driver that is not installed."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    try:
        return create_engine(url, poolclass=ClosingPool, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except ModuleNotFoundError as error:
        raise UserError(
            f"PostgreSQL needs the package {error.name!r}. Install it: {install_hint('postgres')}"
        ) from error


def writing(engine: Engine) -> Engine:
    """The same engine, but its transactions take SQLite's write lock at their start.

    A transaction that reads first and locks later fails at once when another writer came in between.
    """
    return engine.execution_options(agentbench_writes=True)


def is_read_only(url: URL) -> bool:
    """Whether it is an existing SQLite file without write permission: a snapshot, or a read-only mount."""
    if url.get_backend_name() != "sqlite" or not url.database or not Path(url.database).is_file():
        return False
    path = Path(url.database)
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _sqlite_engine(url: URL) -> Engine:
    """A file without write permission is opened as immutable, since a write-ahead log needs a second file."""
    if is_read_only(url):
        path = Path(str(url.database)).resolve()
        _check_log(path)
        url = url.set(database=path.as_uri(), query={"immutable": "1", "uri": "true"})
    pool = (
        None if url.database in (None, "", ":memory:") else ClosingPool
    )  # a database in memory belongs to its one connection
    engine = create_engine(url, poolclass=pool, connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_log(path: Path) -> None:
    """`UserError` when the latest changes are in the write-ahead log, which is unreadable without write permission."""
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
    # None: the driver begins no transactions itself, so that ours include schema changes.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # With a write-ahead log, NORMAL loses nothing when a process is killed. A power cut may lose the last
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
    """Switches a SQLite file to a write-ahead log, with which readers and the writer do not block each other.

    SQLite ignores its busy timeout here, so several processes at a new file need retries of their own.
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


# As Alembic makes it.
SCHEMA = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), nullable=False))
SCHEMA.append_constraint(PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"))

# Any constant that other users of the same PostgreSQL database are unlikely to lock.
ADVISORY_LOCK = 0x6167_656E_7462


def upgrade(engine: Engine) -> None:
    """Upgrades the schema to `CURRENT`.

    It happens in one transaction, for which other processes that open the database wait. Raises `UserError` when a
    newer agentbench wrote the database, and SQLAlchemy's errors when it can't be written.
    """
    with engine.connect() as connection:
        if _version(connection) == CURRENT:
            return
    with writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        _upgrade_from(_version(connection), connection)


def _version(connection: Connection) -> str | None:
    """The revision of the database, None for a new one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def _upgrade_from(version: str | None, connection: Connection) -> None:
    if version == CURRENT:
        return
    if version is None:
        _create(connection)
        return
    # Imported here: Alembic is slow to import, and upgrades are rare.
    from alembic import command
    from alembic.script import ScriptDirectory

    config = migrations(connection)
    revisions = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version not in revisions:
        raise UserError(f"its schema {version!r} is newer than this agentbench knows ({CURRENT!r}); upgrade agentbench")
    command.upgrade(config, "head")


def _create(connection: Connection) -> None:
    """Makes the tables of `CURRENT` in a new database. Migrating there step by step would take four times as long."""
    try:
        Base.metadata.create_all(connection, checkfirst=False)
        SCHEMA.create(connection)
    except SQLAlchemyError as error:
        if "already exists" in str(error):
            raise UserError("it contains tables of another program; use a separate database") from error
        raise
    connection.execute(SCHEMA.insert().values(version_num=CURRENT))


def migrations(connection: Connection) -> "Config":
    """Alembic's configuration for this package's migrations, to be run on `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "agentbench.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


Result = TypeVar("Result")

PATIENCE_S = 300.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
LOG = logging.getLogger(__name__)


class Patience:
    """Retries work with growing pauses while the server is away, up to a time limit.

    The work must be repeatable: a transaction may have been committed although its connection broke.
    """

    def __init__(self, engine: Engine, patience_s: float = PATIENCE_S) -> None:
        self._engine = engine
        self._patience_s = patience_s

    def is_away(self, error: DBAPIError) -> bool:
        """Whether the error concerns the connection, and not the statement."""
        return self._engine.dialect.name == "postgresql" and isinstance(error, OperationalError)

    def insist(self, work: Callable[[bool], Result]) -> Result:
        """The result of `work`, whose argument says whether an earlier try may have been committed."""
        pause, since, again = FIRST_PAUSE_S, time.monotonic(), False
        while True:
            try:
                return work(again)
            except DBAPIError as error:
                if not self.is_away(error):
                    raise
                if time.monotonic() - since > self._patience_s:
                    name, reason = shown(self._engine.url), " ".join(str(error.orig).split())
                    raise UserError(
                        f"the store {name} has been away for {self._patience_s:g} s: {reason}."
                        " Stored attempts are safe; continue later with --resume."
                    ) from error
                if not again:
                    LOG.warning("the store %s is away; waiting for it", shown(self._engine.url))
            again = True
            self._engine.dispose()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)


DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
NAMED = 5
"""Most runs to name; beyond that, the message gives their number."""
PARTS = ("model_calls", "tool_calls", "user_turns", "scores")


@contextmanager
def damage_explained(url: URL) -> Iterator[None]:
    """Replaces SQLite's error with a `UserError` when the file itself is damaged."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        if getattr(cause, "sqlite_errorcode", 0) & 0xFF not in DAMAGED or not url.database:
            raise
        raise UserError(_damage_message(url, str(cause))) from error


def _damage_message(url: URL, cause: str) -> str:
    path = Path(url.database or "")
    return (
        f"the store {shown(url)} is damaged ({cause}); {_readable(path)}. Copy the file and restore a backup, or save"
        f" what there is: sqlite3 {path} .recover | sqlite3 saved.db."
        f' sqlite3 {path} "PRAGMA integrity_check" says where it is damaged'
    )


def _readable(path: Path) -> str:
    """Finds the runs that can be read in full, by reading them."""
    readable: list[str] = []
    broken = 0
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as connection:
            for (run_id,) in connection.execute("SELECT id FROM runs ORDER BY created_at DESC").fetchall():
                if _is_readable(connection, run_id):
                    readable.append(run_id)
                else:
                    broken += 1
    except sqlite3.Error:
        return "the list of its runs can't be read" if not readable else _listed(readable, broken)
    return _listed(readable, broken)


def _listed(readable: list[str], broken: int) -> str:
    named = ", ".join(readable[:NAMED]) + (" …" if len(readable) > NAMED else "")
    exported = f": {named}: agentbench export RUN --format run --out FILE saves one" if readable else ""
    return f"{len(readable)} of its {len(readable) + broken} runs can be read in full{exported}"


def _is_readable(connection: sqlite3.Connection, run_id: str) -> bool:
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
