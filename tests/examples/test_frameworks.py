"""Agents of other frameworks, each in an environment of its own, through the gateway to the bundled engine."""

from contextlib import aclosing
from pathlib import Path

import pytest

from agentbench.core.attempt import Attempt
from agentbench.environment import variable
from agentbench.run.experiment import perform, plan
from agentbench.store import open_store
from agentbench.suite.suite import load_suite

pytestmark = [pytest.mark.model, pytest.mark.framework]

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = variable("AGENTBENCH_FRAMEWORKS")
"""The folder with an environment for each framework, which `make examples` makes."""
FRAMEWORKS = ("langgraph", "openai_agents", "smolagents", "llamaindex", "crewai", "camel")
AT_ONCE = 16


def test_an_example_is_short() -> None:
    for name in FRAMEWORKS:
        assert len((ROOT / f"docs/examples/{name}_agent.py").read_text().splitlines()) <= 30, name


@pytest.mark.skipif(ENVIRONMENTS is None, reason="make examples sets AGENTBENCH_FRAMEWORKS")
@pytest.mark.parametrize("name", FRAMEWORKS)
async def test_every_call_is_in_its_own_attempt_s_trace(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    agent = {
        "name": "command",
        "command": [f"{ENVIRONMENTS}/{name}/bin/python", f"docs/examples/{name}_agent.py"],
        "hosting": {"mode": "pooled", "size": AT_ONCE},
        "startup_timeout_s": 300,
    }
    run = {"run.limit": AT_ONCE, "run.concurrency": AT_ONCE, "run.max_tries": 1, "run.timeout_s": 600}
    suite = load_suite(ROOT / "suites" / "arithmetic", {"agent": agent, **run})
    found: list[Attempt] = []
    with open_store(str(tmp_path / "store.db")) as store:
        async with aclosing(perform(plan(suite, store), store)) as attempts:
            async for attempt in attempts:
                found.append(attempt)
    questions = {case.id: str(case.messages[-1]["content"]) for case in suite.drawn().cases}
    assert [attempt.failure for attempt in found] == [None] * AT_ONCE
    for attempt in found:
        assert attempt.trace.model_calls
        assert attempt.trace.cold_start_ns
        for call in attempt.trace.model_calls:
            told = str(call.messages)
            assert [case_id for case_id, text in questions.items() if text in told] == [attempt.case_id]
