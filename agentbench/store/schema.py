"""The schema of a database, brought up to date when it is opened: wholly or not at all."""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from agentbench.core.errors import UserError
from agentbench.store.engine import writing
from agentbench.store.migrations.revision import CURRENT, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

# Any constant that other users of the same PostgreSQL database are unlikely to lock.
ADVISORY_LOCK = 0x6167_656E_7462


def upgrade(engine: Engine) -> None:
    """Brings the schema to `CURRENT`.

    In one transaction that other processes opening the database wait for. Raises `UserError` when the
    database was written by a newer agentbench, and SQLAlchemy's errors when it cannot be written.
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
    # Alembic is slow to import, and a database is upgraded once.
    from alembic import command
    from alembic.script import ScriptDirectory

    config = migrations(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise UserError(f"its schema {version!r} is newer than this agentbench knows ({CURRENT!r}); upgrade agentbench")
    try:
        command.upgrade(config, "head")
    except SQLAlchemyError as error:
        if version is None and "already exists" in str(error):
            raise UserError("it holds tables of another program; name a database of its own") from error
        raise


def migrations(connection: Connection) -> "Config":
    """Alembic's configuration of the migrations in this package, to be run on `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "agentbench.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
