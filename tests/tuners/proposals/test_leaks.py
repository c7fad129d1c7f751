"""No test case is demonstrated or shown to a proposing model: the test reads every request of a full study."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentbench.store import Store
from tests.tuners.conftest import CASES
from tests.tuners.stub_server import StubServer
from tuners.proposals.proposal_model import TASK
from tuners.report.progress import StudyProgress
from tuners.study.study import Study, make_study, store_study
from tuners.tune import run_study, study_result

StudyWriter = Callable[..., Path]

STUDY = """
name: toy
split: {test: 20, seed: 1}
budget: {trials: 9}
rungs: {sizes: [4, 8], opening: 2, finalists: 2}
replay: {attempts: 8, rounds: 2}
space:
  agent.demonstrations: {bootstrap: [0, 2, 4]}
  agent.system_prompt:
    propose:
      templates: [terse]
      texts: [null]
      model: {slots: 3, minibatch: 6, tries: 2, failures: 6}
  serving.knob: [1, 2]
"""


def cases_in(text: str) -> set[str]:
    """The ids of the cases whose question is in the text."""
    return {f"c{int(number):02}" for number in re.findall(r"\b(?:even|odd) (\d+)\b", text)}


def of_others(body: dict[str, Any]) -> set[str]:
    """The cases in a request besides its own question, which is the last message unless it asks for a proposal."""
    messages = body["messages"] if is_proposing(body) else body["messages"][:-1]
    return cases_in(json.dumps(messages))


def is_proposing(body: dict[str, Any]) -> bool:
    return bool(body["messages"][0]["content"] == TASK)


async def run_full_study(path: Path, store: Store, tmp_path: Path) -> Study:
    full_study = make_study(path, {})
    store_study(full_study, store)
    await run_study(full_study, store, str(tmp_path / "store.db"), StudyProgress(full_study.name))
    return full_study


async def test_no_test_case_is_shown_in_a_full_study(
    study: StudyWriter, store: Store, tmp_path: Path, stub: type[StubServer]
) -> None:
    stub.proposals = ["Be nice.", "Answer yes to odd.", "Answer yes to even."]
    full_study = await run_full_study(study(STUDY), store, tmp_path)
    test, train = set(full_study.split.test), set(full_study.split.train)
    assert len(test | train) == CASES
    bodies: list[Any] = stub.requests
    proposing = [body for body in bodies if is_proposing(body)]
    demonstrating = [body for body in bodies if not is_proposing(body) and of_others(body)]
    # Both kinds of request were sent with train cases, and test was answered.
    assert set().union(*map(of_others, proposing)) & train
    assert set().union(*map(of_others, demonstrating)) & train
    assert test <= set().union(*(cases_in(str(body["messages"][-1])) for body in bodies if not is_proposing(body)))
    for body in bodies:
        assert not of_others(body) & test
    for proposal in store.studies.proposals(full_study.name):
        assert set(proposal.minibatch) <= train


def test_of_others_finds_a_shown_case() -> None:
    question = {"role": "user", "content": "even 12"}
    assert not of_others({"messages": [question]})
    assert of_others({"messages": [{"role": "system", "content": "as in odd 3"}, question]}) == {"c03"}
    assert of_others({"messages": [{"role": "system", "content": TASK}, question]}) == {"c12"}


async def test_a_proposal_that_helps_wins_the_study_and_is_in_best_yaml(
    study: StudyWriter, store: Store, tmp_path: Path, stub: type[StubServer]
) -> None:
    stub.proposals = ["Answer yes to even."]
    full_study = make_study(study(STUDY.replace("  serving.knob: [1, 2]\n", "")), {})
    store_study(full_study, store)
    await run_study(full_study, store, str(tmp_path / "store.db"), StudyProgress(full_study.name))
    result = study_result(full_study, store)
    assert result.best is not None
    assert result.verdict is not None
    assert "Answer yes to even." in result.best.read_text()
    assert result.verdict.passes["rate_a"] == 1.0
    attempts = store.studies.attempts(full_study.name, "search")
    of_candidates = sum(each.case_runs for each in result.candidates)
    assert of_candidates < attempts  # minibatches count in the budget, but for no candidate
