"""Inserting a row that may be there already, which SQLAlchemy has only per database."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from agentbench.store.tables import Base


def insert_new(session: Session, table: type[Base], values: Mapping[str, Any]) -> None:
    """Inserts `values` (by column name) unless a row of the same key is there; safe against other writers."""
    session.execute(_insert(session, table, values).on_conflict_do_nothing())


def insert_or_replace(session: Session, table: type[Base], values: Mapping[str, Any]) -> None:
    """Inserts `values` (by column name), in place of a row of the same key; safe against other writers."""
    key = list(table.__table__.primary_key)
    session.execute(_insert(session, table, values).on_conflict_do_update(index_elements=key, set_=dict(values)))


def _insert(session: Session, table: type[Base], values: Mapping[str, Any]) -> Any:
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table.__table__).values(dict(values))  # type: ignore[arg-type]
