"""Converts cases, attempts and their parts to rows and back; ORM objects do not leave the store.

Inserts that tolerate an existing row are here too, since SQLAlchemy has them only per database.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from agentbench.core.attempt import Attempt, Score
from agentbench.core.case import Case, ToolSpec
from agentbench.core.run import Run
from agentbench.core.trace import Failure, ModelCall, Step, ToolCall, Trace, UserTurn
from agentbench.store.columns import to_json
from agentbench.store.tables import AttemptRow, Base, CaseRow, ModelCallRow, RunRow, ScoreRow, ToolCallRow, UserTurnRow


def run_row(run: Run) -> RunRow:
    values = {name: getattr(run, name) for name in Run.__dataclass_fields__}
    return RunRow(**values)


def run_of(row: RunRow) -> Run:
    values = {name: getattr(row, name) for name in Run.__dataclass_fields__}
    return Run(**values | {"case_ids": tuple(row.case_ids)})


def case_values(case: Case) -> dict[str, object]:
    """The columns of a case. Its digest is the SHA-256 of its content as JSON with sorted keys."""
    content = {
        "case_id": case.id,
        "cluster": case.cluster,
        "messages": case.messages,
        "tools": [asdict(tool) for tool in case.tools],
        "expected": case.expected,
        "metadata": case.metadata,
    }
    if case.user:
        content["user_script"] = case.user
    canonical = json.dumps(json.loads(to_json(content)), sort_keys=True)
    return {"digest": hashlib.sha256(canonical.encode("ascii")).hexdigest(), "user_script": {}, **content}


def case_of(row: CaseRow) -> Case:
    return Case(
        id=row.case_id,
        messages=tuple(row.messages),
        tools=tuple(ToolSpec(**tool) for tool in row.tools),
        expected=row.expected,
        metadata=row.case_metadata,
        user=row.user,
        cluster=row.cluster,
    )


def attempt_values(run_id: str, attempt: Attempt, case_digest: str) -> dict[str, Any]:
    """The columns of an attempt, by column name."""
    failure = attempt.failure
    return {
        "run_id": run_id,
        "case_digest": case_digest,
        "case_id": attempt.case_id,
        "cluster": attempt.cluster,
        "repeat": attempt.repeat,
        "seed": attempt.seed,
        "tries": attempt.tries,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "wall_anchor_ns": attempt.wall_anchor_ns,
        "output": attempt.trace.output,
        "end_state": attempt.trace.state,
        "cold_start_ns": attempt.trace.cold_start_ns,
        "failure_kind": failure and failure.kind,
        "failure_message": failure and failure.message,
        "failure_detail": failure and failure.detail,
        "passed": attempt.passed,
    }


def step_values(step: Step) -> tuple[type[Base], dict[str, Any]]:
    """The table of a step, and the step's columns."""
    table = STEP_TABLES[type(step)]
    return table, {name: getattr(step, name) for name in type(step).__dataclass_fields__}


STEP_TABLES: dict[type[Step], type[Base]] = {ModelCall: ModelCallRow, ToolCall: ToolCallRow, UserTurn: UserTurnRow}


class NoScore(ValueError):
    """A value that no figure can be computed from."""


def score_values(position: int, score: Score) -> dict[str, Any]:
    if not 0 <= score.value <= 1:
        raise NoScore(f"score {score.name!r} is {score.value!r}: a score is a number from 0 to 1")
    values = {"name": score.name, "value": score.value, "passed": score.passed, "reason": score.reason}
    return {"position": position, **values}


def score_of(row: ScoreRow) -> Score:
    return Score(name=row.name, value=row.value, passed=row.passed, reason=row.reason)


def attempt_of(row: AttemptRow) -> Attempt:
    return Attempt(
        case_id=row.case_id,
        cluster=row.cluster,
        repeat=row.repeat,
        seed=row.seed,
        tries=row.tries,
        started_at=row.started_at,
        ended_at=row.ended_at,
        wall_anchor_ns=row.wall_anchor_ns,
        trace=Trace(steps=_steps_of(row), output=row.output, state=row.state, cold_start_ns=row.cold_start_ns),
        failure=_failure_of(row),
        scores=tuple(map(score_of, row.scores)),
        passed=row.passed,
    )


def _failure_of(row: AttemptRow) -> Failure | None:
    if row.failure_kind is None:
        return None
    return Failure(
        kind=row.failure_kind,  # type: ignore[arg-type]  # written from a Failure
        message=row.failure_message or "",
        detail=row.failure_detail or "",
    )


def _steps_of(row: AttemptRow) -> tuple[Step, ...]:
    by_position: dict[int, Step] = {call.position: _model_call_of(call) for call in row.model_calls}
    by_position |= {call.position: _tool_call_of(call) for call in row.tool_calls}
    by_position |= {turn.position: _user_turn_of(turn) for turn in row.user_turns}
    return tuple(by_position[position] for position in sorted(by_position))


def _model_call_of(row: ModelCallRow) -> ModelCall:
    values = {name: getattr(row, name) for name in ModelCall.__dataclass_fields__}
    lists = {name: tuple(values[name]) for name in ("messages", "chunk_at", "chunk_tokens")}
    return ModelCall(**values | lists)


def _tool_call_of(row: ToolCallRow) -> ToolCall:
    return ToolCall(**{name: getattr(row, name) for name in ToolCall.__dataclass_fields__})


def _user_turn_of(row: UserTurnRow) -> UserTurn:
    values = {name: getattr(row, name) for name in UserTurn.__dataclass_fields__}
    return UserTurn(**values | {"messages": tuple(row.messages)})


def insert_new(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts each of `rows` (by column name) unless its key exists; safe with concurrent writers."""
    session.execute(_insert(session, table).on_conflict_do_nothing(), [dict(row) for row in rows])


def insert_or_replace(session: Session, table: type[Base], values: Mapping[str, Any]) -> None:
    """Inserts `values` (by column name), or replaces the row of the same key; safe with concurrent writers."""
    key = list(table.__table__.primary_key)
    replacing = _insert(session, table).values(dict(values))
    session.execute(replacing.on_conflict_do_update(index_elements=key, set_=dict(values)))


def _insert(session: Session, table: type[Base]) -> Any:
    # Imported here, since only one of them is needed.
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table.__table__)  # type: ignore[arg-type]
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table.__table__)  # type: ignore[arg-type]
