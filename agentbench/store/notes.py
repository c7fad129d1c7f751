"""Tags and notes: what people say of a run, beside what is measured of it."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from agentbench.errors import UserError
from agentbench.store.insert import insert_new, insert_or_replace
from agentbench.store.reference import find_run
from agentbench.store.tables import NoteRow, TagRow

Transaction = Callable[[], AbstractContextManager[Session]]

LONGEST_TAG = 60
LONGEST_NOTE = 20_000
"""In characters."""


class Notes:
    """Each method is one transaction, as those of `Store` are."""

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def tags(self, run_ids: Collection[str]) -> dict[str, list[str]]:
        """The tags of each of the runs that has some, in alphabetical order."""
        query = select(TagRow.run_id, TagRow.tag).where(TagRow.run_id.in_(run_ids)).order_by(TagRow.tag)
        found: dict[str, list[str]] = {}
        with self._read() as session:
            for run_id, tag in session.execute(query):
                found.setdefault(run_id, []).append(tag)
        return found

    def known_tags(self) -> list[str]:
        with self._read() as session:
            return list(session.scalars(select(TagRow.tag).distinct().order_by(TagRow.tag)))

    def add_tag(self, run_id: str, tag: str) -> None:
        """`UserError` for an empty or overlong tag, or an unknown run."""
        tag = " ".join(tag.split())
        if not 0 < len(tag) <= LONGEST_TAG:
            raise UserError(f"tag {tag[:80]!r}: expected 1 to {LONGEST_TAG} characters")
        with self._write() as session:
            find_run(session, run_id)
            insert_new(session, TagRow, [{"run_id": run_id, "tag": tag}])

    def remove_tag(self, run_id: str, tag: str) -> None:
        with self._write() as session:
            session.execute(delete(TagRow).where(TagRow.run_id == run_id, TagRow.tag == tag))

    def note(self, run_id: str) -> str:
        """Empty where there is none."""
        with self._read() as session:
            row = session.get(NoteRow, run_id)
            return row.text if row else ""

    def set_note(self, run_id: str, text: str) -> None:
        """In place of the one before. `UserError` for an overlong one, or an unknown run."""
        if len(text) > LONGEST_NOTE:
            raise UserError(f"a note of {len(text):,} characters: at most {LONGEST_NOTE:,}")
        with self._write() as session:
            find_run(session, run_id)
            values = {"run_id": run_id, "text": text, "updated_at": datetime.now(UTC)}
            insert_or_replace(session, NoteRow, values)
