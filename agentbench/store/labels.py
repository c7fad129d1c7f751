"""People's labels, and the verdicts that follow from them.

Labels are raw facts; a verdict that waited for a person is derived from them whenever attempts are read: the majority
of the reviewers, none when they are even.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload

from agentbench.core.attempt import Attempt, Label, Score, verdict
from agentbench.store.rows import score_of
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


class Deciding:
    """Gives the attempts of a run, one after the other, the verdicts that its labels lead to."""

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
    """The scores, those that wait for a person filled in: the value is the share of the reviewers who passed it."""
    return tuple(score if score.passed is not None or not labels else _reviewed(score, labels) for score in scores)


def _reviewed(score: Score, labels: Sequence[Label]) -> Score:
    share = sum(label.passed for label in labels) / len(labels)
    said = [f"{label.reviewer}: {'pass' if label.passed else 'fail'}{_comment(label)}" for label in labels]
    tie = "reviewers are even; " if majority(labels) is None else ""
    return replace(score, value=share, passed=majority(labels), reason=tie + "; ".join(said))


def _comment(label: Label) -> str:
    return f" ({label.comment})" if label.comment else ""


def passed_by(session: Session, run_id: str) -> tuple[str, ...]:
    """The scorers that decide in this run, as it was planned."""
    environment = session.scalars(select(RunRow.environment).where(RunRow.id == run_id)).first()
    return tuple((environment or {}).get("passed_by") or ())


def verdicts_from_labels(session: Session, run_id: str) -> dict[Key, bool]:
    """The verdicts that labels gave to attempts of the run that were stored without one."""
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
