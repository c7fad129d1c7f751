"""Proposals on the stub server: accepted only if the same minibatch improves, stored, counted, and requested once."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.protocols import ChatRequest
from agentbench.core.trace import Trace
from agentbench.store import Store
from tests.tuners.stub_server import StubServer
from tuners.engine.evaluator import LiveEvaluator
from tuners.proposals.proposal_model import TASK
from tuners.proposals.proposer import Proposer, parent_of
from tuners.search.budget import BudgetOptions, Spending
from tuners.search.candidate import Candidate
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers
from tuners.space.configuration import Configuration
from tuners.space.space import Settings
from tuners.study.study import make_study, store_study

StudyWriter = Callable[..., Path]

STUDY = """
name: toy
split: {test: 20, seed: 1}
budget: {trials: 5}
space:
  agent.system_prompt:
    propose:
      texts: [null]
      model: MODEL
"""
PATH = "agent.system_prompt"
GOOD = "Answer yes to even."
SLOT = {PATH: {"proposal": 0}}


class Setting:
    """A study with a proposing model; each `worker()` is a new worker of it."""

    def __init__(self, path: Path, store: Store, **model: Any) -> None:
        options = {"slots": 2, "minibatch": 8, **model}
        text = path.read_text().replace("MODEL", str(options).replace("'", '"'))
        path.write_text(text)
        self.study = make_study(path, {})
        self.store = store
        self.spending = Spending(BudgetOptions(case_runs=1000))
        store_study(self.study, store)

    def worker(self) -> tuple[LiveEvaluator, Proposer]:
        new_study, plan = self.study, self.study.plan()
        live = LiveEvaluator(new_study, self.store)
        studies = self.store.studies
        proposer = Proposer(
            new_study.name, plan.outer, new_study.train, live, live.host, studies, self.spending, plan.seed
        )
        return live, proposer

    async def text(self, slot: int = 0, candidates: tuple[Candidate, ...] = ()) -> Any:
        live, proposer = self.worker()
        async with aclosing(live):
            return (await proposer({PATH: {"proposal": slot}, "other": 1}, candidates))[PATH]

    @property
    def proposals(self) -> list[tuple[int, int, str, bool, str]]:
        proposals = self.store.studies.proposals(self.study.name)
        return [(each.slot, each.number, each.text, each.accepted, each.note) for each in proposals]


@pytest.fixture
def setting(study: StudyWriter, store: Store) -> Callable[..., Setting]:
    return lambda **model: Setting(study(STUDY), store, **model)


def proposal_requests(stub: type[StubServer]) -> list[dict[str, Any]]:
    return [body for body in stub.requests if TASK in str(body["messages"])]


async def test_a_proposal_that_improves_the_minibatch_is_accepted(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    stub.proposals = [f'Instruction: "{GOOD}"']
    here = setting()
    assert await here.text() == GOOD
    [proposal] = here.store.studies.proposals("toy")
    assert proposal.accepted
    assert proposal.parent is None
    assert proposal.score == 1.0
    assert proposal.parent_score is not None
    assert proposal.parent_score < 1.0
    assert set(proposal.minibatch) <= set(here.study.split.train)
    assert len(proposal.minibatch) == 8


async def test_the_minibatch_counts_in_the_budget_and_is_in_the_cache(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    stub.proposals = [GOOD]
    here = setting()
    await here.text()
    live, _ = here.worker()
    assert here.spending.case_runs == live.spent() == 2 * 8
    [proposal] = here.store.studies.proposals("toy")
    async with aclosing(live):
        assert (await live.answer(live.configuration({PATH: GOOD}), proposal.minibatch)).fresh == 0
        assert (await live.answer(live.configuration({}), proposal.minibatch)).fresh == 0


@pytest.mark.parametrize(
    ("wrote", "note"),
    [("Answer yes to odd.", ""), ("Be nice.", ""), ('""', "the model wrote nothing")],
)
async def test_a_slot_without_an_accepted_proposal_has_its_parent_s_text_after_all_tries(
    setting: Callable[..., Setting], stub: type[StubServer], wrote: str, note: str
) -> None:
    stub.proposals = [wrote]
    here = setting(tries=3)
    assert await here.text() is None
    assert len(here.proposals) == len(proposal_requests(stub)) == 3
    assert all(not accepted and found == note for _, _, _, accepted, found in here.proposals)
    assert len({body["seed"] for body in proposal_requests(stub)}) == 3


async def test_a_second_try_may_be_accepted(setting: Callable[..., Setting], stub: type[StubServer]) -> None:
    stub.proposals = ["Be nice.", GOOD]
    here = setting()
    assert await here.text() == GOOD
    assert [(number, accepted) for _, number, _, accepted, _ in here.proposals] == [(0, False), (1, True)]


async def test_the_parent_is_the_best_candidate_and_its_instruction_is_shown(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    here = setting(tries=1)
    settings = {PATH: "Answer yes to odd.", "serving.word": "odd"}
    best = Candidate(number=3, settings=settings, end="finished", rung=0, quality=0.4, scores={})
    worse = replace(best, number=4, settings={PATH: "Be nice."}, quality=0.3)
    broken = replace(best, number=5, settings={PATH: "Be quick."}, quality=0.9, end="dropped")
    stub.proposals = [GOOD]
    assert await here.text(candidates=(worse, best, broken)) == GOOD
    [body] = proposal_requests(stub)
    assert "Answer yes to odd." in str(body["messages"])
    [proposal] = here.store.studies.proposals("toy")
    assert proposal.parent == "Answer yes to odd."
    assert parent_of((broken,)) == {}


async def test_no_worker_requests_a_stored_proposal_again(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    stub.proposals = [GOOD, "Answer yes to odd."]
    here = setting(tries=1)
    first = [await here.text(0), await here.text(1)]
    stub.requests.clear()
    again = [await here.text(0), await here.text(1)]
    assert first == again == [GOOD, None]
    assert not stub.requests


async def test_of_two_workers_at_the_same_slot_the_first_one_s_proposal_is_stored(
    setting: Callable[..., Setting], stub: type[StubServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.proposals = [GOOD]
    here = setting()
    live, proposer = here.worker()
    propose = proposer._propose

    async def overtaken(*arguments: Any) -> Any:
        record = await propose(*arguments)
        here.store.studies.keep_proposal(replace(record, text="The other worker's."))
        return record

    monkeypatch.setattr(proposer, "_propose", overtaken)
    async with aclosing(live):
        assert (await proposer(SLOT, ()))[PATH] == "The other worker's."


class Killed(Exception):
    """Stands for the death of the process."""


class Fuse:
    """Lets `left` calls through; the next one raises `Killed`."""

    def __init__(self, left: int) -> None:
        self.left = left

    def guarding(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return real(*arguments, **keywords)

        return call


@pytest.mark.parametrize("done", [0, 1, 2, 3])
async def test_a_proposal_killed_at_any_step_continues_and_pays_once(
    setting: Callable[..., Setting], stub: type[StubServer], monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    stub.proposals = [GOOD]
    here = setting()
    live, proposer = here.worker()
    fuse = Fuse(done)
    with monkeypatch.context() as patched:
        for owner, name in ((live, "answer"), (live.host, "ask"), (proposer._store, "keep_proposal")):
            patched.setattr(owner, name, fuse.guarding(getattr(owner, name)))
        async with aclosing(live):
            with pytest.raises(Killed):
                await proposer(SLOT, ())
    assert not here.proposals
    assert await here.text() == GOOD
    assert len(here.proposals) == 1
    assert here.worker()[0].spent() == 2 * 8


async def test_without_budget_a_slot_has_its_parent_s_text_and_nothing_is_stored(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    here = setting()
    here.spending.case_runs = 1000
    assert await here.text() is None
    assert not here.proposals
    assert not stub.requests
    here.spending.case_runs = 0
    stub.proposals = [GOOD]
    assert await here.text() == GOOD


async def test_settings_without_a_slot_stay_as_they_are(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    live, proposer = setting().worker()
    async with aclosing(live):
        settings = {PATH: "Ours.", "agent.max_tokens": 5}
        assert await proposer(settings, ()) == settings
    assert not stub.requests


async def test_a_model_of_its_own_takes_turns_with_the_candidates_server(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    stub.proposals = [GOOD]
    here = setting(serving={"server": "stub", "model": "author"})
    assert await here.text() == GOOD
    assert [body["model"] for body in proposal_requests(stub)] == ["author"]
    assert {body["model"] for body in stub.requests if body not in proposal_requests(stub)} == {"stub"}
    assert stub.started == 3  # the candidates', the author's, the candidates' again
    assert stub.most_at_once == 1


async def test_the_study_s_own_model_proposes_on_the_running_server(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    stub.proposals = [GOOD]
    await setting().text()
    assert stub.started == 1


async def test_a_server_that_dies_of_a_proposal_does_not_break_the_next_candidate(
    setting: Callable[..., Setting], stub: type[StubServer]
) -> None:
    here = setting(tries=1)
    parent = Candidate(
        number=1, settings={"serving.dies_on": "Failed task"}, end="finished", rung=0, quality=0.5, scores={}
    )
    live, proposer = here.worker()
    async with aclosing(live):
        assert (await proposer(SLOT, (parent,)))[PATH] is None
        answers = await live.answer(live.configuration({"serving.dies_on": "Failed task"}), here.study.split.train)
    assert len(answers.scores) == 20
    [(_, _, text, accepted, note)] = here.proposals
    assert (text, accepted) == ("", False)
    assert note.startswith("the model did not answer")


def test_a_wrong_proposing_model_is_an_error_before_anything_starts(study: StudyWriter, stub: type[StubServer]) -> None:
    for model, message in (
        ("{slots: 1, serving: {server: stubb}}", "unknown server 'stubb'"),
        ("{slots: 1, serving: {server: stub, wrd: x}}", "unknown key 'model.serving.wrd'"),
        ("{slots: 1, serving: {server: stub, here: false}}", "is not pulled"),
        ("{slots: 1, backend: {name: openai_http, url: x}}", "unknown key 'model.backend.url'"),
    ):
        with pytest.raises(UserError) as error:
            make_study(study(STUDY.replace("MODEL", model)), {})
        assert message in str(error.value)
        assert "space.agent.system_prompt.propose" in str(error.value)
    assert not stub.started


class OneFailure:
    """An evaluator and host whose parent failed one train case, and whose model leaves the tools out."""

    def __init__(self, cases: Sequence[str], failed: str) -> None:
        self.cases = cases
        self.failed = failed
        self.shown = ""

    def configuration(self, settings: Settings) -> Configuration:
        return Configuration(settings=settings, seed=0, answers="", served="")

    def attempts(self, configuration: Configuration) -> list[Attempt]:
        return [
            Attempt(
                case_id=case_id,
                cluster=case_id,
                repeat=0,
                seed=0,
                tries=1,
                started_at=0,
                ended_at=1,
                wall_anchor_ns=0,
                trace=Trace(output="no"),
                passed=case_id != self.failed,
            )
            for case_id in self.cases
        ]

    def value_at(self, path: str, settings: Settings) -> str:
        return "Call {tools}."

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        return Answers(scores={case_id: float(case_id != self.failed) for case_id in cases}, fresh=0)

    async def ask(self, configuration: Configuration, request: ChatRequest) -> str:
        self.shown = str(request.messages[-1]["content"])
        return "Call them."


@pytest.mark.parametrize("failed", [f"c{number:02}" for number in range(20)])
async def test_a_parent_s_only_failure_is_in_the_minibatch_and_a_text_without_the_tools_is_not_tested(
    store: Store, study: StudyWriter, failed: str
) -> None:
    names = [f"c{number:02}" for number in range(20)]
    new_study = make_study(study(STUDY.replace("MODEL", "{slots: 1, minibatch: 2, tries: 1}")), {})
    store_study(new_study, store)
    train = {name: Case(id=name, messages=({"role": "user", "content": f"ask {name}"},)) for name in names}
    evaluator: Any = OneFailure(names, failed)
    spending = Spending(BudgetOptions(case_runs=1))
    proposer = Proposer("toy", new_study.plan().outer, train, evaluator, evaluator, store.studies, spending, 0)
    assert (await proposer(SLOT, ()))[PATH] == "Call {tools}."
    [proposal] = store.studies.proposals("toy")
    assert failed in proposal.minibatch
    assert len(set(proposal.minibatch)) == 2
    assert f"ask {failed}" in evaluator.shown
    assert (proposal.text, proposal.score, proposal.note) == ("Call them.", None, "{tools} is missing in it")


async def test_a_minibatch_beyond_the_budget_is_no_proposal(store: Store, study: StudyWriter) -> None:
    setting = Setting(study(STUDY), store)
    setting.spending = Spending(BudgetOptions(case_runs=5))
    live, proposer = setting.worker()
    async with aclosing(live):
        assert (await proposer(SLOT, ()))[PATH] is None
    assert live.spent() == 5
    assert store.studies.proposals("toy") == []
