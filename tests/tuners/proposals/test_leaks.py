"""Nothing of test is ever demonstrated, or shown to a proposing model: every request of a whole study is looked at."""

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
    """The ids of the cases whose question stands in it."""
    return {f"c{int(number):02}" for number in re.findall(r"\b(?:even|odd) (\d+)\b", text)}


def of_others(body: dict[str, Any]) -> set[str]:
    """The cases in a request, without the one that it asks: its last message, unless a proposal is asked for."""
    messages = body["messages"] if is_proposing(body) else body["messages"][:-1]
    return cases_in(json.dumps(messages))


def is_proposing(body: dict[str, Any]) -> bool:
    return bool(body["messages"][0]["content"] == TASK)


async def whole(path: Path, store: Store, tmp_path: Path) -> Study:
    made = make_study(path, {})
    store_study(made, store)
    await run_study(made, store, str(tmp_path / "store.db"), StudyProgress(made.name))
    return made


async def test_nothing_of_test_is_shown_in_a_whole_study(
    study: StudyWriter, store: Store, tmp_path: Path, stub: type[StubServer]
) -> None:
    stub.proposals = ["Be nice.", "Answer yes to odd.", "Answer yes to even."]
    made = await whole(study(STUDY), store, tmp_path)
    test, train = set(made.split.test), set(made.split.train)
    assert len(test | train) == CASES
    bodies: list[Any] = stub.asked
    proposing = [body for body in bodies if is_proposing(body)]
    demonstrating = [body for body in bodies if not is_proposing(body) and of_others(body)]
    # That there is something to be seen: both happened, with cases of train, and test was answered.
    assert set().union(*map(of_others, proposing)) & train
    assert set().union(*map(of_others, demonstrating)) & train
    assert test <= set().union(*(cases_in(str(body["messages"][-1])) for body in bodies if not is_proposing(body)))
    for body in bodies:
        assert not of_others(body) & test
    for proposal in store.studies.proposals(made.name):
        assert set(proposal.minibatch) <= train


def test_the_look_itself_sees_what_is_there() -> None:
    asked = {"role": "user", "content": "even 12"}
    assert not of_others({"messages": [asked]})
    assert of_others({"messages": [{"role": "system", "content": "as in odd 3"}, asked]}) == {"c03"}
    assert of_others({"messages": [{"role": "system", "content": TASK}, asked]}) == {"c12"}


async def test_a_proposal_that_helps_wins_the_study_and_is_written_out(
    study: StudyWriter, store: Store, tmp_path: Path, stub: type[StubServer]
) -> None:
    stub.proposals = ["Answer yes to even."]
    made = make_study(study(STUDY.replace("  serving.knob: [1, 2]\n", "")), {})
    store_study(made, store)
    await run_study(made, store, str(tmp_path / "store.db"), StudyProgress(made.name))
    done = study_result(made, store)
    assert done.best is not None
    assert done.verdict is not None
    assert "Answer yes to even." in done.best.read_text()
    assert done.verdict.passes["rate_a"] == 1.0
    attempts = store.studies.attempts(made.name, "search")
    of_candidates = sum(each.case_runs for each in done.candidates)
    assert of_candidates < attempts  # what minibatches cost is in the study's budget, and no candidate's
