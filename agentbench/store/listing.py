"""Lists of runs and attempts, in pages that the database counts and sorts."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, or_, select, tuple_
from sqlalchemy.orm import Session

from agentbench.core.attempt import Attempt
from agentbench.core.run import STANDALONE, Run, RunKind, RunStatus
from agentbench.store.annotations import LabelVerdicts, Transaction, verdicts_from_labels
from agentbench.store.attempts import ATTEMPT, MEASURED_CHUNK, attempts_of
from agentbench.store.rows import run_of
from agentbench.store.tables import AttemptRow, LabelRow, RunRow, ScoreRow, TagRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run with counts of its attempts.

    `planned` is cases × repeats. `passed` + `wrong` + `failed` + `waiting` are the attempts that have ended; `waiting`
    ones have no verdict yet.
    """

    id: str
    label: str
    suite: str
    suite_version: str
    config_hash: str
    kind: RunKind
    status: RunStatus
    created_at: datetime
    finished_at: datetime | None
    planned: int
    passed: int
    wrong: int
    failed: int
    waiting: int


_COUNTS = ("passed", "wrong", "failed", "waiting")
_OF_THE_RUN = tuple(name for name in RunSummary.__dataclass_fields__ if name not in (*_COUNTS, "planned"))


def summaries(limit: int | None, suite: str | None) -> Select[Any]:
    """The query for the newest runs and their counts, in one statement."""
    chosen = select(RunRow.id).order_by(RunRow.created_at.desc(), RunRow.id.desc()).limit(limit)
    if suite is not None:
        chosen = chosen.where(RunRow.suite == suite)
    return counted(chosen)


def counted(chosen: Select[Any], sort: str = "created_at", descending: bool = True) -> Select[Any]:
    """The query for the summaries of the runs in `chosen`, sorted by a column or by `right`, the share of graded
    attempts that passed.
    """
    ids = chosen.subquery()
    counts = _counts(select(ids.c.id)).subquery()
    numbers = {name: func.coalesce(counts.c[name], 0) for name in _COUNTS}
    columns: list[Any] = [getattr(RunRow, name) for name in (*_OF_THE_RUN, "case_ids", "repeats")]
    graded = func.nullif(numbers["passed"] + numbers["wrong"], 0)
    by = numbers["passed"] * 1.0 / graded if sort == "right" else getattr(RunRow, sort)
    first = by.desc() if descending else by.asc()
    query: Select[Any] = (
        select(*columns, *(number.label(name) for name, number in numbers.items()))
        .join(ids, ids.c.id == RunRow.id)
        .outerjoin(counts, counts.c.run_id == RunRow.id)
        .order_by(first.nulls_last(), RunRow.created_at.desc(), RunRow.id.desc())
    )
    return query


def _counts(run_ids: Select[tuple[str]]) -> Select[Any]:
    failed = AttemptRow.failure_kind.is_not(None)
    conditions = {
        "passed": ~failed & AttemptRow.passed.is_(True),
        "wrong": ~failed & AttemptRow.passed.is_(False),
        "failed": failed,
        "waiting": ~failed & AttemptRow.passed.is_(None),
    }
    sums: list[Any] = [func.sum(case((conditions[name], 1), else_=0)).label(name) for name in _COUNTS]
    query = select(AttemptRow.run_id, *sums).where(AttemptRow.run_id.in_(run_ids))
    return query.group_by(AttemptRow.run_id)


def with_verdicts(summary: RunSummary, verdicts: Collection[bool]) -> RunSummary:
    """The summary with these verdicts applied to its waiting attempts."""
    passed = sum(verdicts)
    wrong = len(verdicts) - passed
    return replace(
        summary,
        passed=summary.passed + passed,
        wrong=summary.wrong + wrong,
        waiting=summary.waiting - len(verdicts),
    )


def summary_of(row: Row[Any]) -> RunSummary:
    values = {name: getattr(row, name) for name in (*_OF_THE_RUN, *_COUNTS)}
    return RunSummary(**values, planned=len(row.case_ids) * row.repeats)


def decided_summaries(session: Session, rows: Iterable[Row[Any]]) -> list[RunSummary]:
    """The summaries, with labels applied to waiting attempts."""
    found = map(summary_of, rows)
    return [with_verdicts(run, verdicts_from_labels(session, run.id).values()) if run.waiting else run for run in found]


RunSort = Literal["created_at", "suite", "label", "status", "right"]
AttemptSort = Literal["stored", "case", "seconds"]
Verdict = Literal["right", "wrong", "failed", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """At most `limit` rows, from `offset` on."""

    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The filter of a list of runs or studies; `text` is part of a name, a label or a suite."""

    text: str = ""
    suite: str = ""
    status: str = ""
    tag: str = ""
    descending: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter(Filter):
    """Without `of_studies`, runs of studies are left out. `right` sorts by the share of graded attempts that passed."""

    of_studies: bool = True
    sort: RunSort = "created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFilter:
    """`text` is part of a case's id; `seconds` sorts by the attempt's duration."""

    text: str = ""
    verdict: Verdict | None = None
    sort: AttemptSort = "stored"
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run's progress; a page about the run stays valid while this is equal."""

    status: str
    attempts: int
    last: int
    labels: int
    labelled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListColumns:
    """The columns for a list: its table's key, the columns of the filter, and the tags by that key."""

    key: Any
    texts: tuple[Any, ...]
    suite: Any
    status: Any
    tagged: Any
    tag: Any

    def matching(self, wanted: Filter) -> Select[Any]:
        """The query for the keys that match the filter."""
        query: Select[Any] = select(self.key)
        if wanted.text:
            query = query.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in self.texts)))
        if wanted.suite:
            query = query.where(self.suite == wanted.suite)
        if wanted.status:
            query = query.where(self.status == wanted.status)
        if wanted.tag:
            query = query.where(self.key.in_(select(self.tagged).where(self.tag == wanted.tag)))
        return query

    def suites(self, session: Session) -> list[str]:
        return list(session.scalars(select(self.suite).distinct().order_by(self.suite)))


RUNS = ListColumns(
    key=RunRow.id,
    texts=(RunRow.id, RunRow.label, RunRow.suite),
    suite=RunRow.suite,
    status=RunRow.status,
    tagged=TagRow.run_id,
    tag=TagRow.tag,
)


def page_of(session: Session, chosen: Select[Any], rows: Select[Any], page: Page) -> tuple[Sequence[Row[Any]], int]:
    """A page of `rows`, and the number of all `chosen` rows."""
    total = session.scalar(select(func.count()).select_from(chosen.subquery())) or 0
    return session.execute(rows.offset(page.offset).limit(page.limit)).all(), total


class Listing:
    """Each method is one transaction, as in `Store`."""

    def __init__(self, read: Transaction) -> None:
        self._read = read

    def runs(self, wanted: RunFilter, page: Page) -> tuple[list[RunSummary], int]:
        """A page of the matching runs, and their number."""
        chosen = RUNS.matching(wanted)
        if not wanted.of_studies:
            chosen = chosen.where(RunRow.kind != "study")
        with self._read() as session:
            rows, total = page_of(session, chosen, counted(chosen, wanted.sort, wanted.descending), page)
            return decided_summaries(session, rows), total

    def suites(self) -> list[str]:
        with self._read() as session:
            return RUNS.suites(session)

    def history(self, suite: str, limit: int) -> list[Run]:
        """The suite's newest finished runs, without reruns and runs of studies, oldest first."""
        of_suite = (RunRow.suite == suite, RunRow.status == "finished", RunRow.kind.in_(STANDALONE))
        query = select(RunRow).where(*of_suite)
        with self._read() as session:
            rows = session.scalars(query.order_by(RunRow.created_at.desc(), RunRow.id.desc()).limit(limit)).all()
            return [run_of(row) for row in reversed(rows)]

    def attempts(self, run_id: str, wanted: AttemptFilter, page: Page) -> tuple[list[Attempt], int]:
        """A page of the matching attempts without their texts, and their number."""
        with self._read() as session:
            which = _matching_attempts(session, run_id, wanted)
            total = session.scalar(select(func.count(AttemptRow.id)).where(*which)) or 0
            # Ids first: the rows before the page are then skipped in an index, without being read.
            order = _order_of_attempts(wanted)
            chosen = select(AttemptRow.id).where(*which).order_by(*order)
            ids = list(session.scalars(chosen.offset(page.offset).limit(page.limit)))
            query: Any = select(*ATTEMPT).where(AttemptRow.id.in_(ids))
            rows = sorted(session.execute(query), key=lambda row: ids.index(row.id))
            return list(map(LabelVerdicts(session, run_id), attempts_of(session, rows))), total

    def labelled(self, run_id: str) -> list[Attempt]:
        """The attempts with labels, without their texts."""
        same = (LabelRow.case_id == AttemptRow.case_id, LabelRow.repeat == AttemptRow.repeat)
        has_label = select(LabelRow.run_id).where(LabelRow.run_id == run_id, *same).exists()
        query: Any = select(*ATTEMPT).where(AttemptRow.run_id == run_id, has_label).order_by(AttemptRow.id)
        with self._read() as session:
            found: list[Attempt] = []
            for rows in session.execute(query).partitions(MEASURED_CHUNK):
                found += map(LabelVerdicts(session, run_id), attempts_of(session, rows))
            return found

    def scorers(self, run_id: str) -> list[str]:
        """The names of the scorers that graded the run's attempts, in their order."""
        query = select(ScoreRow.name).join(AttemptRow, AttemptRow.id == ScoreRow.attempt_id)
        query = query.where(AttemptRow.run_id == run_id).group_by(ScoreRow.name)
        with self._read() as session:
            return list(session.scalars(query.order_by(func.min(ScoreRow.position), ScoreRow.name)))

    def elsewhere(self, case_id: str, suite: str, limit: int = 30) -> list[tuple[str, str, datetime, str]]:
        """The newest runs of the suite that attempted this case: id, label, start, and the stored result of its first
        repeat.
        """
        query: Any = (
            select(RunRow.id, RunRow.label, RunRow.created_at, AttemptRow.failure_kind, AttemptRow.passed)
            .join(AttemptRow, AttemptRow.run_id == RunRow.id)
            .where(RunRow.suite == suite, AttemptRow.case_id == case_id, AttemptRow.repeat == 0)
            .order_by(RunRow.created_at.desc())
            .limit(limit)
        )
        with self._read() as session:
            return [(row.id, row.label, row.created_at, _verdict(row)) for row in session.execute(query)]

    def repeats(self, run_id: str, case_id: str) -> list[int]:
        """The stored repeats of the case."""
        query = select(AttemptRow.repeat).where(AttemptRow.run_id == run_id, AttemptRow.case_id == case_id)
        with self._read() as session:
            return sorted(session.scalars(query))

    def progress(self, run_id: str) -> Progress:
        attempts = select(func.count(AttemptRow.id), func.max(AttemptRow.id)).where(AttemptRow.run_id == run_id)
        labels = select(func.count(), func.max(LabelRow.created_at)).where(LabelRow.run_id == run_id)
        with self._read() as session:
            status = session.scalar(select(RunRow.status).where(RunRow.id == run_id)) or ""
            count, last = session.execute(attempts).one()
            labelled, at = session.execute(labels).one()
        return Progress(status=status, attempts=count, last=last or 0, labels=labelled, labelled_at=at)


def _matching_attempts(session: Session, run_id: str, wanted: AttemptFilter) -> list[ColumnElement[bool]]:
    which: list[ColumnElement[bool]] = [AttemptRow.run_id == run_id]
    if wanted.text:
        which.append(AttemptRow.case_id.icontains(wanted.text, autoescape=True))
    if wanted.verdict is not None:
        which.append(_of_verdict(session, run_id, wanted.verdict))
    return which


def _of_verdict(session: Session, run_id: str, verdict: Verdict) -> ColumnElement[bool]:
    """The attempts stored with the verdict, and the waiting ones to which labels give it."""
    failed = AttemptRow.failure_kind.is_not(None)
    if verdict == "failed":
        return failed
    decided = verdicts_from_labels(session, run_id)
    key = tuple_(AttemptRow.case_id, AttemptRow.repeat)
    waiting = and_(~failed, AttemptRow.passed.is_(None))
    if verdict == "waiting":
        return and_(waiting, key.not_in(list(decided))) if decided else waiting
    right = verdict == "right"
    stored = and_(~failed, AttemptRow.passed.is_(right))
    labelled = [each for each, passed in decided.items() if passed is right]
    return or_(stored, and_(waiting, key.in_(labelled))) if labelled else stored


def _verdict(row: Row[Any]) -> Verdict:
    if row.failure_kind is not None:
        return "failed"
    return "waiting" if row.passed is None else "right" if row.passed else "wrong"


def _order_of_attempts(wanted: AttemptFilter) -> list[ColumnElement[Any]]:
    columns: dict[str, list[Any]] = {
        "stored": [AttemptRow.id],
        "case": [AttemptRow.case_id, AttemptRow.repeat],
        "seconds": [AttemptRow.ended_at - AttemptRow.started_at, AttemptRow.id],
    }
    return [column.desc() if wanted.descending else column.asc() for column in columns[wanted.sort]]
