"""The runner: attempts from cases, failures as values, retries, bounds."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace

import pytest

from agentbench.case import Case
from agentbench.config import RunOptions
from agentbench.errors import AttemptError
from agentbench.protocols import Agent, ChatClient, ChatRequest, Toolbox
from agentbench.runner import Bench, Job, attempt_seed, run_job, run_jobs
from agentbench.score import Attempt, Score, verdict
from agentbench.scorers.text import ExactConfig, ExactScorer
from agentbench.trace import Trace
from agentbench.users.scripted import ScriptedUser, ScriptedUserConfig
from tests.fakes import SayBackend, a_case, adder


async def ask(case: Case, backend: ChatClient, tools: Toolbox) -> str:
    return (await backend.chat(ChatRequest(messages=case.messages))).text


def a_bench(agent: Agent, *, say: str = "5", scorer: object = None, **options: object) -> Bench:
    return Bench(
        agent=agent,
        backend=SayBackend(say),
        toolbox=lambda case: nullcontext(adder()),
        user=ScriptedUser(ScriptedUserConfig()),
        scorers=[scorer or ExactScorer(ExactConfig())],  # type: ignore[list-item]
        passed_by=("exact",),
        options=RunOptions.model_validate({"backoff_s": 0, **options}),
    )


async def collect(jobs: list[Job], bench: Bench) -> list[Attempt]:
    return [attempt async for attempt, _ in run_jobs(jobs, bench)]


async def test_a_right_answer_passes_and_its_trace_is_kept() -> None:
    attempt = await run_job(Job(case=a_case(), repeat=0), a_bench(ask))
    assert attempt.passed is True
    assert attempt.failure is None
    assert attempt.trace.output == "5"
    assert len(attempt.trace.model_calls) == 1
    assert attempt.started_at <= attempt.trace.model_calls[0].sent_at <= attempt.ended_at


async def test_a_wrong_answer_is_no_failure() -> None:
    attempt = await run_job(Job(case=a_case(), repeat=0), a_bench(ask, say="6"))
    assert (attempt.passed, attempt.failure) == (False, None)
    assert "expected '5', got '6'" in attempt.scores[0].reason


async def test_an_agent_that_raises_is_an_agent_failure_with_what_it_did_so_far() -> None:
    async def broken(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        await backend.chat(ChatRequest(messages=case.messages))
        raise KeyError("lost")

    attempt = await run_job(Job(case=a_case(), repeat=0), a_bench(broken))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.message) == ("agent", "KeyError: 'lost'")
    assert "in broken" in attempt.failure.detail
    assert (attempt.passed, attempt.scores, len(attempt.trace.steps)) == (None, (), 1)


async def test_an_agent_that_does_not_end_is_a_timeout() -> None:
    async def endless(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        await backend.chat(ChatRequest(messages=case.messages))
        await asyncio.Event().wait()
        return ""

    attempt = await run_job(Job(case=a_case(), repeat=0), a_bench(endless, timeout_s=0.05))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.message) == ("timeout", "not done after 0.05 s")
    assert len(attempt.trace.steps) == 1


async def test_a_timeout_inside_the_agent_is_the_agents_own() -> None:
    async def impatient(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        raise TimeoutError("my own limit")

    attempt = await run_job(Job(case=a_case(), repeat=0), a_bench(impatient))
    assert attempt.failure is not None
    assert attempt.failure.kind == "agent"


async def test_infra_failures_are_tried_again() -> None:
    tries = 0

    async def flaky(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise AttemptError("infra", "connection refused")
        return "5"

    attempt = await run_job(Job(case=a_case(), repeat=0), a_bench(flaky, max_tries=3))
    assert (attempt.passed, attempt.tries) == (True, 3)


@pytest.mark.parametrize(("kind", "tries"), [("infra", 3), ("agent", 1), ("budget", 1)])
async def test_only_infra_failures_are_tried_again_and_not_for_ever(kind: str, tries: int) -> None:
    async def failing(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        raise AttemptError(kind, "no")  # type: ignore[arg-type]

    attempt = await run_job(Job(case=a_case(), repeat=0), a_bench(failing, max_tries=3))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.tries) == (kind, tries)


async def test_a_scorer_that_raises_is_a_grader_failure() -> None:
    class Broken:
        name = "exact"

        async def score(self, case: Case, trace: Trace) -> Score:
            raise ZeroDivisionError("0/0")

    attempt = await run_job(Job(case=a_case(), repeat=0), a_bench(ask, scorer=Broken()))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.passed) == ("grader", None)


async def test_no_more_attempts_run_at_once_than_allowed() -> None:
    running = most = 0

    async def counted(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1
        return "5"

    jobs = [Job(case=a_case(f"c{index}"), repeat=0) for index in range(20)]
    attempts = await collect(jobs, a_bench(counted, concurrency=4))
    assert most == 4
    assert {attempt.case_id for attempt in attempts} == {job.case.id for job in jobs}


async def test_closing_the_iterator_cancels_what_is_in_flight() -> None:
    cancelled = 0

    async def agent(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        nonlocal cancelled
        if case.id == "c0":
            return "5"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return ""

    jobs = [Job(case=a_case(f"c{index}"), repeat=0) for index in range(4)]
    attempts = run_jobs(jobs, a_bench(agent, concurrency=4))
    assert (await anext(attempts))[0].case_id == "c0"
    await attempts.aclose()
    assert cancelled == 3


async def test_every_repeat_has_a_seed_of_its_own_that_reaches_the_model() -> None:
    bench = a_bench(ask)
    jobs = [Job(case=a_case(name), repeat=repeat) for name in ("a", "b") for repeat in range(3)]
    attempts = await collect(jobs, bench)
    seeds = {attempt.seed for attempt in attempts}
    assert len(seeds) == 6
    assert seeds == {call.request["seed"] for attempt in attempts for call in attempt.trace.model_calls}


def test_seeds_are_the_same_in_every_run() -> None:
    assert attempt_seed(0, "case", 1) == attempt_seed(0, "case", 1)
    assert attempt_seed(0, "case", 1) != attempt_seed(1, "case", 1)
    assert 0 <= attempt_seed(7, "case", 0) < 2**31


@pytest.mark.parametrize(
    ("verdicts", "passed"),
    [
        ({"a": True, "b": True}, True),
        ({"a": True, "b": False}, False),
        ({"a": None, "b": False}, False),
        ({"a": None, "b": True}, None),
        ({"c": False, "a": True, "b": True}, True),
        ({}, None),
    ],
)
def test_an_attempt_passes_when_every_deciding_scorer_passed(
    verdicts: dict[str, bool | None], passed: bool | None
) -> None:
    scores = [Score(name=name, value=0.5, passed=each) for name, each in verdicts.items()]
    assert verdict(scores, ("a", "b")) is passed


async def test_a_score_has_the_name_that_its_scorer_has_in_the_suite() -> None:
    scorer = ExactScorer(ExactConfig())
    scorer.name = "label"
    bench = replace(a_bench(ask, scorer=scorer), passed_by=("label",))
    attempt = await run_job(Job(case=a_case(), repeat=0), bench)
    assert [score.name for score in attempt.scores] == ["label"]
    assert attempt.passed is True
