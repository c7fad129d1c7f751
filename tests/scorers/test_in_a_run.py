"""Scorers in a whole run: a judge on the run's own backend, answers of another run, several deciders, a person."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError
from agentbench.run.experiment import perform, plan
from agentbench.store import Store, open_store
from agentbench.suite.suite import load_suite

SUITE = """\
name: capitals
dataset: {name: jsonl}
scorers:
  - {name: includes}
  - {name: judge, as: polite, rubric: "Is it polite?"}
  - {name: pairwise, run: before, pass_at: win}
  - human
passed_by: [includes, polite, human]
agent: chat
backend:
  name: scripted
  replies:
    - {when: "Is it polite", content: '{"reason": "Very.", "verdict": "pass"}'}
    - {when: "Answer A:\\\\s+<A-\\\\w+>\\\\s+Paris, please", content: '{"reason": "Kinder.", "better": "A"}'}
    - {when: "Answer B:\\\\s+<B-\\\\w+>\\\\s+Paris, please", content: '{"reason": "Kinder.", "better": "B"}'}
    - {when: France, content: "Paris, please"}
run: {max_tries: 1}
"""
BEFORE = """\
name: capitals
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend: {name: scripted, default: Paris}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "cases.jsonl").write_text(json.dumps({"id": "c", "input": "Capital of France?", "expected": "Paris"}))
    with open_store(str(tmp_path / "store.db")) as store:
        yield store


async def attempts(store: Store, folder: Path, suite: str, label: str) -> list[Attempt]:
    (folder / "suite.yaml").write_text(suite)
    experiment = plan(load_suite(folder), store, label)
    return [attempt async for attempt in perform(experiment, store)]


async def test_each_scorer_has_what_it_needs_of_the_run(store: Store, tmp_path: Path) -> None:
    await attempts(store, tmp_path, BEFORE, "before")
    [attempt] = await attempts(store, tmp_path, SUITE, "after")
    assert attempt.failure is None
    assert {score.name: score.passed for score in attempt.scores} == {
        "includes": True,
        "polite": True,
        "pairwise": True,
        "human": None,
    }
    assert attempt.passed is None
    assert len(attempt.trace.model_calls) == 1, "the judge's calls are no part of what the agent did"


async def test_a_run_to_hold_against_that_is_not_there_is_told_before_the_first_attempt(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no run 'before'"):
        await attempts(store, tmp_path, SUITE, "after")
