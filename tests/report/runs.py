"""A store with two runs for the reports' tests, and the text that a report prints."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console, RenderableType

from agentbench.core.attempt import Attempt, Score
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.core.trace import Failure, ModelCall, ToolCall, Trace
from agentbench.store import Store

MS = 1_000_000
STARTED = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
SYSTEM = {"role": "system", "content": "Call the tool."}


def a_run(run_id: str, label: str, cases: int, output: str, minutes: int = 0) -> Run:
    return Run(
        id=run_id,
        suite="weather",
        suite_version="1",
        suite_path="suites/weather/suite.yaml",
        suite_hash="0" * 64,
        config={
            "agent": {"name": "tool_loop", "output": output, "temperature": 0.0},
            "serving": {"server": "bundled", "model": "smollm2-135m-instruct", "max_num_seqs": 16},
            "backend": {"name": "openai_http"},
        },
        config_hash=("a" if output == "free" else "b") * 64,
        case_ids=tuple(f"case_{number}" for number in range(cases)),
        repeats=1,
        label=label,
        environment={"objectives": {"ttft": 2.0}, "server": {"version": "1"}},
        status="finished",
        created_at=STARTED + timedelta(minutes=minutes),
    )


def a_case(number: int) -> Case:
    return Case(
        id=f"case_{number}",
        messages=({"role": "user", "content": f"Weather in city {number}?"},),
        expected=[{"name": "weather", "arguments": {"city": str(number)}}],
    )


def an_attempt(number: int, *, right: bool, ttft_ms: int, failed: bool = False) -> Attempt:
    start = number * 200 * MS
    trace = Trace(steps=_steps(number, start, ttft_ms), output="It is 21 °C.")
    failure = Failure(kind="timeout", message="no answer in 30 s") if failed else None
    score = Score(name="tool_call_match", value=float(right), passed=right, reason="city: expected 7, got 8")
    return Attempt(
        case_id=f"case_{number}",
        cluster=f"case_{number}",
        repeat=0,
        seed=number,
        tries=1,
        started_at=start,
        ended_at=start + (ttft_ms + 500) * MS,
        wall_anchor_ns=1_772_600_000_000_000_000,
        trace=trace,
        failure=failure,
        scores=() if failed else (score,),
        passed=None if failed else right,
    )


def _steps(number: int, start: int, ttft_ms: int) -> tuple[ModelCall | ToolCall, ...]:
    asked = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "7"}'}}
    reply = {"role": "assistant", "content": None, "tool_calls": [asked]}
    first = (SYSTEM, {"role": "user", "content": f"Weather in city {number}?"})
    call = ModelCall(
        messages=first,
        request={"model": "smollm2-135m-instruct", "temperature": 0.0},
        reply=reply,
        finish_reason="tool_calls",
        intended_at=start,
        sent_at=start,
        ended_at=start + (ttft_ms + 200) * MS,
        chunk_at=tuple(start + (ttft_ms + 20 * token) * MS for token in range(11)),
        prompt_tokens=120,
        completion_tokens=11,
    )
    tool = ToolCall(
        call_id="1",
        name="weather",
        arguments={"city": "7"},
        started_at=start,
        ended_at=start + 3 * MS,
        executed=True,
        result="21 °C",
    )
    again = (*first, reply, {"role": "tool", "tool_call_id": "1", "content": "21 °C"})
    answer = {"role": "assistant", "content": "It is 21 °C."}
    return call, tool, replace(call, messages=again, reply=answer, finish_reason="stop")


def fill(store: Store, cases: int = 60) -> None:
    """`weather-…-aaa111`, labelled free, is right on about half; `weather-…-bbb222` is right more often and faster."""
    generator = random.Random(1)
    free, constrained = "weather-20260304-050600-aaa111", "weather-20260304-050700-bbb222"
    store.create_run(a_run(free, "free", cases, "free"))
    store.create_run(a_run(constrained, "constrained", cases, "constrained", minutes=1))
    slower, faster = [], []
    for number in range(cases):
        right = generator.random() < 0.5
        slow = an_attempt(number, right=right, ttft_ms=generator.randint(700, 900), failed=number == 3)
        better = right != (generator.random() < (0.05 if right else 0.6))
        quick = an_attempt(number, right=better, ttft_ms=generator.randint(300, 500))
        slower.append((slow, a_case(number)))
        faster.append((quick, a_case(number)))
    store.add_attempts(free, slower)
    store.add_attempts(constrained, faster)


def shown(report: RenderableType, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width, markup=False, highlight=False)
    console.print(report)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text
