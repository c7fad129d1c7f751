"""Demonstrations from passing attempts on train: which candidate they come from, how many, and in which order."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case, Message
from agentbench.core.trace import ModelCall, Trace
from tuners.proposals.demonstrations import Bootstrapper, demonstration_of
from tuners.search.candidate import Candidate
from tuners.space.parameters import Bootstrap
from tuners.space.space import Space

PATH = "agent.demonstrations"
SPACE = Space(parameters={PATH: Bootstrap(bootstrap=(0, 1, 2, 3))})
ORDER = ("c3", "c1", "c2")
CASES = {name: Case(id=name, messages=({"role": "user", "content": f"ask {name}"},)) for name in ORDER}


def call(text: str | None) -> ModelCall:
    reply: Message = {"role": "assistant", "content": text}
    return ModelCall(messages=(), request={}, reply=reply, finish_reason="stop", intended_at=0, sent_at=0, ended_at=1)


def attempt(case_id: str, *texts: str | None, passed: bool = True, repeat: int = 0) -> Attempt:
    return Attempt(
        case_id=case_id,
        cluster=case_id,
        repeat=repeat,
        seed=0,
        tries=1,
        started_at=0,
        ended_at=1,
        wall_anchor_ns=0,
        trace=Trace(steps=tuple(map(call, texts)), output=texts[-1] or ""),
        passed=passed,
    )


def candidate(number: int, quality: float) -> Candidate:
    return Candidate(
        number=number, settings={}, end="finished", rung=0, quality=quality, scores=dict.fromkeys(ORDER, quality)
    )


async def shown(wanted: int, of: Mapping[int, Sequence[Attempt]], *candidates: Candidate) -> Any:
    bootstrapper = Bootstrapper(SPACE, CASES, ORDER, lambda each: of[each.number])
    return (await bootstrapper({PATH: wanted, "agent.output": "free"}, candidates))[PATH]


def demonstrations(*names: str, by: str = "answer") -> list[dict[str, str]]:
    return [{"input": f"ask {name}", "output": f"{by} {name}"} for name in names]


ALL = [attempt(name, f"answer {name}") for name in ("c1", "c2", "c3")]


async def test_the_wanted_number_comes_in_the_order_of_the_cases() -> None:
    assert await shown(0, {1: ALL}, candidate(1, 0.5)) == []
    assert await shown(2, {1: ALL}, candidate(1, 0.5)) == demonstrations("c3", "c1")
    assert await shown(3, {1: ALL}, candidate(1, 0.5)) == demonstrations("c3", "c1", "c2")


async def test_they_come_from_the_best_candidate_with_enough_or_else_from_the_one_with_most() -> None:
    other = [attempt("c1", "other c1")]
    of = {1: ALL, 2: other}
    assert await shown(1, of, candidate(1, 0.5), candidate(2, 0.9)) == demonstrations("c1", by="other")
    assert await shown(2, of, candidate(1, 0.5), candidate(2, 0.9)) == demonstrations("c3", "c1")
    assert await shown(3, {2: other}, candidate(2, 0.9)) == demonstrations("c1", by="other")
    assert await shown(1, {2: other}, candidate(2, 0.0)) == []


async def test_only_passing_attempts_on_train_are_shown_and_each_case_once() -> None:
    attempts = [
        attempt("c3", "answer wrong", passed=False),
        attempt("of_test", "answer of_test"),
        attempt("c1", "answer again", repeat=1),
        attempt("c1", "answer c1", repeat=0),
    ]
    assert await shown(3, {1: attempts}, candidate(1, 0.5)) == demonstrations("c1")


@pytest.mark.parametrize(
    ("case", "an_attempt"),
    [
        (CASES["c1"], attempt("c1", "first", "second")),
        (CASES["c1"], attempt("c1", None)),
        (Case(id="c1", messages=({"role": "system", "content": "s"}, *CASES["c1"].messages)), attempt("c1", "answer")),
        (Case(id="c1", messages=({"role": "user", "content": [{"type": "text"}]},)), attempt("c1", "answer")),
    ],
)
def test_only_one_text_question_with_one_text_answer_is_a_demonstration(case: Case, an_attempt: Attempt) -> None:
    assert demonstration_of(case, an_attempt) is None


async def test_another_set_has_other_cases_and_is_reproducible() -> None:
    parameter = Bootstrap(bootstrap=(0, 1), sets=3)
    assert parameter.values == (0, 1, {"bootstrap": 1, "set": 1}, {"bootstrap": 1, "set": 2})
    names = [f"n{index}" for index in range(50)]
    cases = {name: Case(id=name, messages=({"role": "user", "content": f"ask {name}"},)) for name in names}
    attempts = [attempt(name, f"answer {name}") for name in names]
    best = Candidate(number=1, settings={}, end="finished", rung=0, quality=1, scores=dict.fromkeys(names, 1.0))
    bootstrapper = Bootstrapper(Space(parameters={PATH: parameter}), cases, names, lambda each: attempts)
    found = [str((await bootstrapper({PATH: value}, [best]))[PATH]) for value in (*parameter.values, 1)]
    assert len(set(found)) == 4
    assert found[1] == found[-1]
