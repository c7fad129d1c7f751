"""Tags and notes: what people say of a run or of a study, beside what is measured of it."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from agentbench.core.errors import UserError
from agentbench.store.insert import insert_new, insert_or_replace

Transaction = Callable[[], AbstractContextManager[Session]]

LONGEST_TAG = 60
LONGEST_NOTE = 20_000
"""In characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What the notes are of: its tables of tags and of notes, their column that names it, and `find`, which raises
    `UserError` when there is none of the name."""

    tags: Any
    notes: Any
    column: str
    find: Callable[[Session, str], object]


class Notes:
    """Each method is one transaction, as those of `Store` are; `name` is a run's id, or a study's name."""

    def __init__(self, read: Transaction, write: Transaction, of: Noted) -> None:
        self._read = read
        self._write = write
        self._of = of
        self._tagged = getattr(of.tags, of.column)

    def tags(self, names: Collection[str]) -> dict[str, list[str]]:
        """The tags of each that has some, in alphabetical order."""
        tags = self._of.tags
        query = select(self._tagged, tags.tag).where(self._tagged.in_(names)).order_by(tags.tag)
        found: dict[str, list[str]] = {}
        with self._read() as session:
            for name, tag in session.execute(query):
                found.setdefault(name, []).append(tag)
        return found

    def known_tags(self) -> list[str]:
        tag = self._of.tags.tag
        with self._read() as session:
            return list(session.scalars(select(tag).distinct().order_by(tag)))

    def add_tag(self, name: str, tag: str) -> None:
        """`UserError` for an empty or overlong tag, or an unknown name."""
        tag = " ".join(tag.split())
        if not 0 < len(tag) <= LONGEST_TAG:
            raise UserError(f"tag {tag[:80]!r}: expected 1 to {LONGEST_TAG} characters")
        with self._write() as session:
            self._of.find(session, name)
            insert_new(session, self._of.tags, [{self._of.column: name, "tag": tag}])

    def remove_tag(self, name: str, tag: str) -> None:
        with self._write() as session:
            session.execute(delete(self._of.tags).where(self._tagged == name, self._of.tags.tag == tag))

    def note(self, name: str) -> str:
        """Empty where there is none."""
        with self._read() as session:
            row = session.get(self._of.notes, name)
            return row.text if row else ""

    def set_note(self, name: str, text: str) -> None:
        """In place of the one before. `UserError` for an overlong one, or an unknown name."""
        if len(text) > LONGEST_NOTE:
            raise UserError(f"a note of {len(text):,} characters: at most {LONGEST_NOTE:,}")
        with self._write() as session:
            self._of.find(session, name)
            values = {self._of.column: name, "text": text, "updated_at": datetime.now(UTC)}
            insert_or_replace(session, self._of.notes, values)
