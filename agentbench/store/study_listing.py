"""Lists of studies, a page at a time, counted and sorted by the database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from agentbench.core.study import StudyStatus
from agentbench.store.listing import Page
from agentbench.store.study_tables import CandidateRow, StudyRow, StudyTagRow

StudySort = Literal["created_at", "name", "suite", "status", "seconds", "candidates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFilter:
    """`text` is part of a name or of a suite."""

    text: str = ""
    suite: str = ""
    status: str = ""
    tag: str = ""
    sort: StudySort = "created_at"
    descending: bool = True


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


def listed(session: Session, wanted: StudyFilter, page: Page) -> tuple[list[StudySummary], int]:
    """A page of the studies wanted, and how many there are."""
    chosen = _matching(wanted)
    total = session.scalar(select(func.count()).select_from(chosen.subquery())) or 0
    rows = session.execute(_summarized(chosen, wanted).offset(page.offset).limit(page.limit))
    return [StudySummary(**row._mapping) for row in rows], total


def study_progress(session: Session, name: str) -> StudyProgress | None:
    """None when there is no study of this name."""
    study = session.execute(select(StudyRow.status, StudyRow.seconds).where(StudyRow.name == name)).first()
    if study is None:
        return None
    ended = select(func.count(), func.max(CandidateRow.ended_at)).where(CandidateRow.study == name)
    count, last = session.execute(ended.where(CandidateRow.ended_at.is_not(None))).one()
    return StudyProgress(status=study.status, seconds=study.seconds, ended=count, last=last)


def _matching(wanted: StudyFilter) -> Select[Any]:
    query: Select[Any] = select(StudyRow.name)
    if wanted.text:
        columns = (StudyRow.name, StudyRow.suite)
        query = query.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in columns)))
    if wanted.suite:
        query = query.where(StudyRow.suite == wanted.suite)
    if wanted.status:
        query = query.where(StudyRow.status == wanted.status)
    if wanted.tag:
        query = query.where(StudyRow.name.in_(select(StudyTagRow.study).where(StudyTagRow.tag == wanted.tag)))
    return query


def _summarized(chosen: Select[Any], wanted: StudyFilter) -> Select[Any]:
    begun = select(func.count()).where(CandidateRow.study == StudyRow.name, CandidateRow.number >= 0)
    candidates = begun.correlate(StudyRow).scalar_subquery().label("candidates")
    of_study = [name for name in StudySummary.__dataclass_fields__ if name != "candidates"]
    by = candidates if wanted.sort == "candidates" else getattr(StudyRow, wanted.sort)
    order = by.desc() if wanted.descending else by.asc()
    query: Select[Any] = select(*(getattr(StudyRow, name) for name in of_study), candidates)
    return query.where(StudyRow.name.in_(chosen)).order_by(order, StudyRow.created_at.desc(), StudyRow.name)
