"""Inserting a row unless it is there, which SQLAlchemy has only per database."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from agentbench.store.tables import Base


def insert_new(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts each of `rows` (by column name) unless one of the same key is there; safe against other writers."""
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    session.execute(insert(table.__table__).on_conflict_do_nothing(), [dict(row) for row in rows])  # type: ignore[arg-type]
