"""The plugin and a LangGraph agent in one environment, with the releases of both that were there a year ago."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from agentbench.store import open_store

pytestmark = pytest.mark.skipif(find_spec("langgraph") is None, reason="make versions has an environment with it")
pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
SUITE = """\
name: sums
dataset: {name: jsonl}
scorers: [includes]
agent: {name: command, command: COMMAND, hosting: {mode: pooled, size: 2}, startup_timeout_s: 120}
backend: {name: scripted, replies: REPLIES}
"""
REPLIES = [
    {"when": r"^What is 47 \* 53\?$", "tool_calls": [{"name": "calculator", "arguments": {"expression": "47 * 53"}}]},
    {"when": "^2491", "content": "It is 2491."},
    {"when": "^What is two", "content": "4"},
]
CASES = [
    {"id": "tool", "input": "What is 47 * 53?", "expected": "2491"},
    {"id": "head", "input": "What is two and two?", "expected": "4"},
]


def test_a_suite_with_its_agent_passes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(pytester.path / "store.db")
    monkeypatch.setenv("AGENTBENCH_DB", store)
    command = [sys.executable, str(ROOT / "docs" / "examples" / "langgraph_agent.py")]
    pytester.mkdir("sums").joinpath("suite.yaml").write_text(
        SUITE.replace("COMMAND", json.dumps(command)).replace("REPLIES", json.dumps(REPLIES))
    )
    (pytester.path / "sums" / "cases.jsonl").write_text("\n".join(map(json.dumps, CASES)))
    pytester.runpytest_subprocess("sums").assert_outcomes(passed=len(CASES))
    with open_store(store, create=False) as opened:
        [run] = opened.list_runs()
        calls = {attempt.case_id: len(attempt.trace.model_calls) for attempt in opened.attempts(run.id)}
    assert calls == {"tool": 2, "head": 1}
