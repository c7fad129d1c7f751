"""Inserting a row that may be there already, which SQLAlchemy has only per database."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from agentbench.store.tables import Base


def insert_new(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts each of `rows` (by column name) unless one of the same key is there; safe against other writers."""
    session.execute(_insert(session, table).on_conflict_do_nothing(), [dict(row) for row in rows])


def insert_or_replace(session: Session, table: type[Base], values: Mapping[str, Any]) -> None:
    """Inserts `values` (by column name), in place of a row of the same key; safe against other writers."""
    key = list(table.__table__.primary_key)
    replacing = _insert(session, table).values(dict(values))
    session.execute(replacing.on_conflict_do_update(index_elements=key, set_=dict(values)))


def _insert(session: Session, table: type[Base]) -> Any:
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table.__table__)  # type: ignore[arg-type]
