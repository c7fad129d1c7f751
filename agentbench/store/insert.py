"""Inserting a row unless it is there, which SQLAlchemy has only per database."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from agentbench.store.tables import Base


def insert_new(session: Session, table: type[Base], values: Mapping[str, Any]) -> None:
    """Inserts `values` (by column name) unless a row of the same key is there; safe against other writers."""
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    session.execute(insert(table.__table__).values(dict(values)).on_conflict_do_nothing())  # type: ignore[arg-type]
