"""Which database: the one named, else AGENTBENCH_DB, else results/agentbench.db."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from agentbench.core.errors import UserError
from agentbench.environment import database_url as url_of_environment

DEFAULT = "results/agentbench.db"
FORMS = "a path of a SQLite file, sqlite:///PATH, or postgresql://USER@HOST/NAME"


def database_url(named: str | None = None) -> URL:
    """The URL of the database. Raises `UserError` for one that is neither SQLite nor PostgreSQL."""
    text = named or url_of_environment() or DEFAULT
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise UserError(f"cannot read the database URL {text!r}: {error}. Give {FORMS}.") from error
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise UserError(f"cannot store in {url.drivername!r} ({url.render_as_string()}). Give {FORMS}.")
    return url


def shown(url: URL) -> str:
    """The URL for a message, without its password; a SQLite file by its path."""
    if url.get_backend_name() == "sqlite":
        return url.database or "memory"
    return url.render_as_string(hide_password=True)
