"""Tuning studies in the store: what was asked, each candidate, the runs that answer for them, and lists of studies."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from agentbench.core.errors import UserError, unknown_name
from agentbench.core.study import CandidateRecord, ProposalRecord, Purpose, StudyRecord, StudyRun, StudyStatus
from agentbench.store.annotations import NotedTables, Notes, Transaction
from agentbench.store.listing import Filter, ListColumns, Page, page_of
from agentbench.store.rows import insert_new, insert_or_replace
from agentbench.store.tables import (
    AttemptRow,
    CandidateRow,
    ModelCallRow,
    ProposalRow,
    ReplayRow,
    ScoreRow,
    StudyNoteRow,
    StudyRow,
    StudyRunRow,
    StudyTagRow,
    ToolCallRow,
    UserTurnRow,
)

StudySort = Literal["created_at", "name", "suite", "status", "seconds", "candidates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFilter(Filter):
    sort: StudySort = "created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study in one line; `candidates` have begun, `seconds` is what its search has taken so far."""

    name: str
    suite: str
    status: StudyStatus
    seconds: float
    created_at: datetime
    finished_at: datetime | None
    candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyProgress:
    """How far a study has come: what is shown of it holds as long as this is the same."""

    status: StudyStatus
    seconds: float
    ended: int
    last: datetime | None


def _find_study(session: Session, name: str) -> StudyRow:
    row = session.get(StudyRow, name)
    if row is None:
        raise unknown_name("study", name, session.scalars(select(StudyRow.name)))
    return row


STUDIES = ListColumns(
    key=StudyRow.name,
    texts=(StudyRow.name, StudyRow.suite),
    suite=StudyRow.suite,
    status=StudyRow.status,
    tagged=StudyTagRow.study,
    tag=StudyTagRow.tag,
)
NOTED = NotedTables(tags=StudyTagRow, notes=StudyNoteRow, column="study", find=_find_study)
LIGHT = tuple(name for name in CandidateRecord.__dataclass_fields__ if name != "result")


class Studies:
    """Each method is one transaction, as those of `Store` are; several workers may be at one study."""

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write
        self.notes = Notes(read, write, NOTED)

    def create(self, study: StudyRecord) -> None:
        """`UserError` when there is a study of this name."""
        try:
            with self._write() as session:
                session.add(StudyRow(**_values(study)))
        except IntegrityError:
            raise UserError(
                f"there is a study {study.name!r} in the store: continue it (agentbench tune --resume {study.name})"
                " or give this one another name (--set name=OTHER)"
            ) from None

    def get(self, name: str) -> StudyRecord:
        """`UserError` with the nearest names when there is none."""
        with self._read() as session:
            return _study_of(_find_study(session, name))

    def names(self) -> list[str]:
        """The newest first."""
        with self._read() as session:
            return list(session.scalars(select(StudyRow.name).order_by(StudyRow.created_at.desc(), StudyRow.name)))

    def listed(self, wanted: StudyFilter, page: Page) -> tuple[list[StudySummary], int]:
        """A page of the studies wanted, and how many there are."""
        with self._read() as session:
            chosen = STUDIES.matching(wanted)
            rows, total = page_of(session, chosen, _summarized(chosen, wanted), page)
            return [StudySummary(**row._mapping) for row in rows], total

    def suites(self) -> list[str]:
        with self._read() as session:
            return STUDIES.suites(session)

    def progress(self, name: str) -> StudyProgress | None:
        """None when there is no study of this name."""
        with self._read() as session:
            return _progress(session, name)

    def set_status(self, name: str, status: StudyStatus) -> None:
        """Of a study that is not finished; one that is stays so."""
        ended = None if status == "running" else datetime.now(UTC)
        unfinished = (StudyRow.name == name, StudyRow.status != "finished")
        with self._write() as session:
            session.execute(update(StudyRow).where(*unfinished).values(status=status, finished_at=ended))

    def finish(self, name: str, verdict: Mapping[str, Any]) -> None:
        self._change(name, verdict=dict(verdict), status="finished", finished_at=datetime.now(UTC))

    def reopen(self, name: str) -> None:
        """It has no verdict any more, and may go on."""
        self._change(name, verdict={}, status="interrupted", finished_at=None)

    def set_document(self, name: str, document: Mapping[str, Any], document_hash: str) -> None:
        self._change(name, document=dict(document), document_hash=document_hash)

    def keep_seconds(self, name: str, seconds: float) -> None:
        """Its search has taken at least so long; several workers at once count once."""
        longer = (StudyRow.name == name, StudyRow.seconds < seconds)
        with self._write() as session:
            session.execute(update(StudyRow).where(*longer).values(seconds=seconds))

    def _change(self, name: str, **values: Any) -> None:
        with self._write() as session:
            session.execute(update(StudyRow).where(StudyRow.name == name).values(**values))

    def claim(self, candidate: CandidateRecord, left: CandidateRecord | None, most: int | None) -> bool:
        """Stores a candidate that begins, or one that goes to this worker in place of the one that left it.

        False when another worker was faster, or when the study has `most` candidates already.
        """
        with self._write() as session:
            # One worker after the other: PostgreSQL would let two see the same count.
            session.execute(select(StudyRow.name).where(StudyRow.name == candidate.study).with_for_update())
            row = session.get(CandidateRow, (candidate.study, candidate.number))
            if left is None:
                return row is None and self._insert(session, candidate, most)
            if row is None or (row.worker, row.seen_at, row.end) != (left.worker, left.seen_at, None):
                return False
            row.worker, row.seen_at = candidate.worker, candidate.seen_at
            return True

    def _insert(self, session: Session, candidate: CandidateRecord, most: int | None) -> bool:
        of_study = (CandidateRow.study == candidate.study, CandidateRow.number >= 0)
        if most is not None and int(session.scalar(select(func.count()).where(*of_study)) or 0) >= most:
            return False
        session.add(CandidateRow(**_values(candidate)))
        return True

    def keep_candidate(self, candidate: CandidateRecord) -> None:
        """Stores it in place of what was known of it."""
        with self._write() as session:
            values = _values(candidate)
            values["ended_as"] = values.pop("end")
            insert_or_replace(session, CandidateRow, values)

    def touch(self, study: str, numbers: Collection[int]) -> None:
        """Says that the worker of these candidates goes on."""
        found = (CandidateRow.study == study, CandidateRow.number.in_(numbers))
        with self._write() as session:
            session.execute(update(CandidateRow).where(*found).values(seen_at=datetime.now(UTC)))

    def keep_progress(self, study: str, number: int, result: Mapping[str, Any]) -> None:
        """How far a candidate is that has not ended; its worker goes on."""
        found = (CandidateRow.study == study, CandidateRow.number == number, CandidateRow.end.is_(None))
        with self._write() as session:
            values = {"seen_at": datetime.now(UTC), "result": dict(result)}
            session.execute(update(CandidateRow).where(*found).values(**values))

    def reopen_candidate(self, study: str, number: int, worker: str, result: Mapping[str, Any]) -> None:
        """One that ended goes on from `result`, at this worker."""
        found = (CandidateRow.study == study, CandidateRow.number == number)
        values = {"end": None, "ended_at": None, "worker": worker, "result": dict(result)}
        with self._write() as session:
            session.execute(update(CandidateRow).where(*found).values(**values))

    def candidate(self, study: str, number: int) -> CandidateRecord | None:
        with self._read() as session:
            row = session.get(CandidateRow, (study, number))
            return None if row is None else _candidate_of(row)

    def candidates(
        self, study: str, *, ended: bool | None = None, without: Collection[int] = ()
    ) -> list[CandidateRecord]:
        """In the order of their numbers: all, or those that have (not) ended; `without` the numbers given."""
        query = select(CandidateRow).where(*_ended(study, ended))
        if without:
            query = query.where(CandidateRow.number.not_in(without))
        with self._read() as session:
            return [_candidate_of(row) for row in session.scalars(query.order_by(CandidateRow.number))]

    def begun(self, study: str, *, ended: bool | None = None) -> list[CandidateRecord]:
        """The same without their results, which are large, in the order in which they began."""
        query = select(*(getattr(CandidateRow, name) for name in LIGHT)).where(*_ended(study, ended))
        with self._read() as session:
            rows = session.execute(query.order_by(CandidateRow.started_at, CandidateRow.number))
            return [CandidateRecord(**dict(zip(LIGHT, row, strict=True))) for row in rows]

    def add_run(self, run: StudyRun) -> None:
        """A run for what has one already is left as it is."""
        with self._write() as session:
            insert_new(session, StudyRunRow, [_values(run)])

    def runs(self, study: str | None, purpose: Purpose | None = None, answers: str | None = None) -> list[StudyRun]:
        """Of one study, or of all."""
        query = select(StudyRunRow).order_by(StudyRunRow.run_id)
        if study is not None:
            query = query.where(StudyRunRow.study == study)
        if purpose is not None:
            query = query.where(StudyRunRow.purpose == purpose)
        if answers is not None:
            query = query.where(StudyRunRow.answers == answers)
        with self._read() as session:
            names = StudyRun.__dataclass_fields__
            return [StudyRun(**{n: getattr(row, n) for n in names}) for row in session.scalars(query)]

    def attempts(self, study: str, purpose: Purpose) -> int:
        """How many attempts its runs of this purpose have."""
        query = select(func.count(AttemptRow.id)).join(StudyRunRow, StudyRunRow.run_id == AttemptRow.run_id)
        with self._read() as session:
            found = query.where(StudyRunRow.study == study, StudyRunRow.purpose == purpose)
            return int(session.scalar(found) or 0)

    def forget_failed(self, run_id: str, keys: Collection[tuple[str, int]], but: Collection[str]) -> None:
        """Removes attempts of a run that failed, of these cases and repeats, but for failures of the kinds in `but`."""
        failed = select(AttemptRow).where(AttemptRow.run_id == run_id, AttemptRow.failure_kind.is_not(None))
        with self._write() as session:
            ids = [
                row.id
                for row in session.scalars(failed)
                if (row.case_id, row.repeat) in keys and row.failure_kind not in but
            ]
            for table in (ModelCallRow, ToolCallRow, UserTurnRow, ScoreRow):
                session.execute(delete(table).where(table.attempt_id.in_(ids)))
            session.execute(delete(AttemptRow).where(AttemptRow.id.in_(ids)))

    def keep_proposal(self, proposal: ProposalRecord) -> None:
        """One whose slot and number there is already, another worker's, is left as it is."""
        with self._write() as session:
            insert_new(session, ProposalRow, [_values(proposal)])

    def proposals(self, study: str) -> list[ProposalRecord]:
        """By path, slot and number."""
        query = select(ProposalRow).where(ProposalRow.study == study)
        with self._read() as session:
            rows = session.scalars(query.order_by(ProposalRow.path, ProposalRow.slot, ProposalRow.number))
            return [_proposal_of(row) for row in rows]

    def keep_replay(self, study: str, key: str, result: Mapping[str, Any]) -> None:
        row = {"study": study, "key": key, "result": dict(result), "created_at": datetime.now(UTC)}
        with self._write() as session:
            insert_new(session, ReplayRow, [row])

    def replays(self, study: str) -> dict[str, Mapping[str, Any]]:
        with self._read() as session:
            rows = session.scalars(select(ReplayRow).where(ReplayRow.study == study)).all()
            return {row.key: row.result for row in rows}


def _summarized(chosen: Select[Any], wanted: StudyFilter) -> Select[Any]:
    begun = select(func.count()).where(CandidateRow.study == StudyRow.name, CandidateRow.number >= 0)
    candidates = begun.correlate(StudyRow).scalar_subquery().label("candidates")
    of_study = [name for name in StudySummary.__dataclass_fields__ if name != "candidates"]
    by = candidates if wanted.sort == "candidates" else getattr(StudyRow, wanted.sort)
    order = by.desc() if wanted.descending else by.asc()
    query: Select[Any] = select(*(getattr(StudyRow, name) for name in of_study), candidates)
    return query.where(StudyRow.name.in_(chosen)).order_by(order, StudyRow.created_at.desc(), StudyRow.name)


def _progress(session: Session, name: str) -> StudyProgress | None:
    study = session.execute(select(StudyRow.status, StudyRow.seconds).where(StudyRow.name == name)).first()
    if study is None:
        return None
    ended = select(func.count(), func.max(CandidateRow.ended_at)).where(CandidateRow.study == name)
    count, last = session.execute(ended.where(CandidateRow.ended_at.is_not(None))).one()
    return StudyProgress(status=study.status, seconds=study.seconds, ended=count, last=last)


def _ended(study: str, ended: bool | None) -> list[ColumnElement[bool]]:
    """The candidates of a study, without what is claimed beside them; those that have (not) ended."""
    found = [CandidateRow.study == study, CandidateRow.number >= 0]
    if ended is not None:
        found.append(CandidateRow.end.is_not(None) if ended else CandidateRow.end.is_(None))
    return found


def _values(record: StudyRecord | CandidateRecord | StudyRun | ProposalRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _proposal_of(row: ProposalRow) -> ProposalRecord:
    values = {name: getattr(row, name) for name in ProposalRecord.__dataclass_fields__}
    return ProposalRecord(**values | {"minibatch": tuple(row.minibatch)})


def _candidate_of(row: CandidateRow) -> CandidateRecord:
    return CandidateRecord(**{name: getattr(row, name) for name in CandidateRecord.__dataclass_fields__})


def _study_of(row: StudyRow) -> StudyRecord:
    values = {name: getattr(row, name) for name in StudyRecord.__dataclass_fields__}
    return StudyRecord(**values | {"split": {side: tuple(ids) for side, ids in row.split.items()}})
