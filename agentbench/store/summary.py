"""A run in one line: what a list of runs shows, counted by the database."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, case, func, select

from agentbench.core.run import RunKind, RunStatus
from agentbench.store.tables import AttemptRow, RunRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """`planned` is cases × repeats; `passed` + `wrong` + `failed` + `waiting` are the attempts that have
    ended, `waiting` those whose verdict is still to come."""

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
    """The query for the newest runs and their counts, all in one."""
    chosen = select(RunRow.id).order_by(RunRow.created_at.desc(), RunRow.id.desc()).limit(limit)
    if suite is not None:
        chosen = chosen.where(RunRow.suite == suite)
    return counted(chosen)


def counted(chosen: Select[Any], sort: str = "created_at", descending: bool = True) -> Select[Any]:
    """The query for the summaries of the runs whose ids `chosen` selects, sorted by a column or by the share that is
    `right` of what is graded."""
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
    """The summary with so many of its attempts that waited decided."""
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
