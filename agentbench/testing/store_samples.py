"""Sample runs, cases, attempts and studies for tests of a store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agentbench.core.attempt import Attempt, Score
from agentbench.core.case import Case, ToolSpec
from agentbench.core.run import Run
from agentbench.core.study import CandidateRecord, StudyRecord
from agentbench.core.trace import Failure, ModelCall, ToolCall, Trace

EPOCH = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def a_run(run_id: str = "run-1", *, minutes: int = 0, **changes: Any) -> Run:
    run = Run(
        id=run_id,
        suite="weather",
        suite_version="1",
        suite_path="suites/weather/suite.yaml",
        suite_hash="0" * 64,
        config={"agent": {"name": "tool_loop", "max_turns": 4}, "run": {"repeats": 2}},
        config_hash="1" * 64,
        case_ids=("paris", "rome"),
        repeats=2,
        created_at=EPOCH + timedelta(minutes=minutes),
    )
    return replace(run, **changes)


def a_case(case_id: str = "paris", **changes: Any) -> Case:
    case = Case(
        id=case_id,
        messages=({"role": "user", "content": f"Weather in {case_id}?"},),
        tools=(ToolSpec(name="weather", description="Looks it up.", parameters={"type": "object"}),),
        expected=[{"name": "weather", "arguments": {"city": case_id}}],
        metadata={"level": 3},
        cluster="europe",
    )
    return replace(case, **changes)


def an_attempt(case_id: str = "paris", repeat: int = 0, **changes: Any) -> Attempt:
    attempt = Attempt(
        case_id=case_id,
        cluster="europe",
        repeat=repeat,
        seed=7,
        tries=1,
        started_at=1_000,
        ended_at=9_000_000_000,
        wall_anchor_ns=1_767_323_045_000_000_000,
        trace=Trace(steps=(_call(1_000), _tool_call(), _call(5_000_000_000)), output="It is 21 °C."),
        scores=(Score(name="exact", value=0.5, passed=True, reason="half of it"),),
        passed=True,
    )
    return replace(attempt, **changes)


def a_failed_attempt(case_id: str = "paris", repeat: int = 0) -> Attempt:
    failure = Failure(kind="timeout", message="no answer in 3 s", detail="Traceback …")
    return an_attempt(case_id, repeat, trace=Trace(), failure=failure, scores=(), passed=None)


def _call(sent_at: int) -> ModelCall:
    return ModelCall(
        messages=({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}),
        request={"model": "small", "temperature": 0.0, "tools": []},
        reply={"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
        finish_reason="tool_calls",
        intended_at=sent_at,
        sent_at=sent_at,
        ended_at=sent_at + 900,
        chunk_at=(sent_at + 300, sent_at + 800),
        chunk_tokens=(1, 4),
        prompt_tokens=40,
        cached_tokens=None,
        completion_tokens=5,
    )


def _tool_call() -> ToolCall:
    return ToolCall(
        call_id="1",
        name="weather",
        arguments={"city": "Paris", "days": [1, 2]},
        started_at=2_000,
        ended_at=3_000,
        executed=True,
        result="21 °C",
    )


def a_study(name: str = "words", *, minutes: int = 0, suite: str = "weather", **other: Any) -> StudyRecord:
    values: dict[str, Any] = {
        "name": name,
        "suite": suite,
        "suite_path": "",
        "suite_hash": "0",
        "document": {},
        "document_hash": "0",
        "split": {},
        "created_at": EPOCH + timedelta(minutes=minutes),
    }
    return StudyRecord(**values | other)


def a_candidate(study: str, number: int, **other: Any) -> CandidateRecord:
    values: dict[str, Any] = {"settings": {}, "worker": "w", "started_at": EPOCH, "seen_at": EPOCH}
    return CandidateRecord(study=study, number=number, **values | other)
