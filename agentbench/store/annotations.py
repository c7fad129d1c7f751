"""People's annotations of attempts, runs and studies: labels and the verdicts derived from them, tags and notes.

Labels are raw facts. The verdict of an undecided attempt is derived from them at every read: that of the majority of
reviewers, or none on a tie.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session, selectinload

from agentbench.core.attempt import Attempt, Label, Score, verdict
from agentbench.core.errors import UserError
from agentbench.store.rows import insert_new, insert_or_replace, score_of
from agentbench.store.tables import AttemptRow, LabelRow, RunRow

Key = tuple[str, int]
"""Case id and repeat."""


def label_of(row: LabelRow) -> Label:
    return Label(**{name: getattr(row, name) for name in Label.__dataclass_fields__})


def label_values(run_id: str, label: Label) -> dict[str, Any]:
    return {"run_id": run_id, **{name: getattr(label, name) for name in Label.__dataclass_fields__}}


def labels_of(run_id: str) -> Select[LabelRow]:
    """The query for a run's labels, by case, repeat and reviewer."""
    order = (LabelRow.case_id, LabelRow.repeat, LabelRow.reviewer)
    return select(LabelRow).where(LabelRow.run_id == run_id).order_by(*order)


def by_attempt(labels: Iterable[Label]) -> Mapping[Key, Sequence[Label]]:
    grouped: dict[Key, list[Label]] = defaultdict(list)
    for label in labels:
        grouped[label.case_id, label.repeat].append(label)
    return grouped


def majority(labels: Sequence[Label]) -> bool | None:
    """The verdict of more than half of the reviewers; None when they are even, or there are none."""
    passed = sum(label.passed for label in labels)
    return None if 2 * passed == len(labels) else 2 * passed > len(labels)


class LabelVerdicts:
    """Applies a run's labels to its attempts, one after the other, and fills in their verdicts."""

    def __init__(self, session: Session, run_id: str) -> None:
        self._labels = by_attempt(map(label_of, session.scalars(labels_of(run_id))))
        self._passed_by = passed_by(session, run_id) if self._labels else ()

    def __call__(self, attempt: Attempt) -> Attempt:
        labels = self._labels.get((attempt.case_id, attempt.repeat), ())
        if not labels or attempt.failure is not None or all(score.passed is not None for score in attempt.scores):
            return attempt
        scores = reviewed(attempt.scores, labels)
        return replace(attempt, scores=scores, passed=verdict(scores, self._passed_by))


def reviewed(scores: Iterable[Score], labels: Sequence[Label]) -> tuple[Score, ...]:
    """The scores with the undecided ones filled in: the value is the share of reviewers who passed the attempt."""
    return tuple(score if score.passed is not None or not labels else _reviewed(score, labels) for score in scores)


def _reviewed(score: Score, labels: Sequence[Label]) -> Score:
    share = sum(label.passed for label in labels) / len(labels)
    votes = [f"{label.reviewer}: {'pass' if label.passed else 'fail'}{_comment(label)}" for label in labels]
    tie = "reviewers are tied; " if majority(labels) is None else ""
    return replace(score, value=share, passed=majority(labels), reason=tie + "; ".join(votes))


def _comment(label: Label) -> str:
    return f" ({label.comment})" if label.comment else ""


def passed_by(session: Session, run_id: str) -> tuple[str, ...]:
    """The deciding scorers in the run's plan."""
    environment = session.scalars(select(RunRow.environment).where(RunRow.id == run_id)).first()
    return tuple((environment or {}).get("passed_by") or ())


def verdicts_from_labels(session: Session, run_id: str) -> dict[Key, bool]:
    """The verdicts that labels give to the run's attempts that were stored without one."""
    labels = by_attempt(map(label_of, session.scalars(labels_of(run_id))))
    if not labels:
        return {}
    deciding = passed_by(session, run_id)
    waiting = (
        select(AttemptRow)
        .where(AttemptRow.run_id == run_id, AttemptRow.passed.is_(None), AttemptRow.failure_kind.is_(None))
        .options(selectinload(AttemptRow.scores))
    )
    rows = {(row.case_id, row.repeat): row for row in session.scalars(waiting)}
    found = {
        key: verdict(reviewed(map(score_of, row.scores), labels.get(key, ())), deciding) for key, row in rows.items()
    }
    return {key: passed for key, passed in found.items() if passed is not None}


Transaction = Callable[[], AbstractContextManager[Session]]

LONGEST_TAG = 60
LONGEST_NOTE = 20_000
"""In characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedTables:
    """The tables for the notes of one kind of thing: tags, notes, their key column, and `find`, which raises
    `UserError` for an unknown name.
    """

    tags: Any
    notes: Any
    column: str
    find: Callable[[Session, str], object]


class Notes:
    """Tags and notes. Each method is one transaction, as in `Store`; `name` is a run's id or a study's name."""

    def __init__(self, read: Transaction, write: Transaction, of: NotedTables) -> None:
        self._read = read
        self._write = write
        self._of = of
        self._tagged = getattr(of.tags, of.column)

    def tags(self, names: Collection[str]) -> dict[str, list[str]]:
        """The tags of each name that has some, in alphabetical order."""
        tags = self._of.tags
        query = select(self._tagged, tags.tag).where(self._tagged.in_(names)).order_by(tags.tag)
        found: dict[str, list[str]] = {}
        with self._read() as session:
            for name, tag in session.execute(query):
                found.setdefault(name, []).append(tag)
        return found

    def all_tags(self) -> list[str]:
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
        """The note; empty when there is none."""
        with self._read() as session:
            row = session.get(self._of.notes, name)
            return row.text if row else ""

    def set_note(self, name: str, text: str) -> None:
        """Replaces the note. `UserError` for an overlong note, or an unknown name."""
        if len(text) > LONGEST_NOTE:
            raise UserError(f"a note of {len(text):,} characters: at most {LONGEST_NOTE:,}")
        with self._write() as session:
            self._of.find(session, name)
            values = {self._of.column: name, "text": text, "updated_at": datetime.now(UTC)}
            insert_or_replace(session, self._of.notes, values)
