"""The runner: attempts from cases, failures as values, retries, bounds."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any

import pytest

from agentbench.core import guest
from agentbench.core.attempt import Attempt, Score, verdict
from agentbench.core.case import Case, Message
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import Agent, BrokenOff, ChatClient, ChatRequest, CutOff, Relay, Toolbox
from agentbench.core.threads import in_thread
from agentbench.core.trace import ModelCall, Trace
from agentbench.run import recorder
from agentbench.run.runner import Job, RunContext, attempt_seed, run_job, run_jobs
from agentbench.scorers.text import ExactConfig, ExactScorer
from agentbench.suite.config import RunOptions
from agentbench.tools import CaseToolbox, FunctionTool
from agentbench.users.users import ScriptedUser, ScriptedUserConfig
from tests.fakes import SayBackend, a_case, adder


async def ask(case: Case, backend: ChatClient, tools: Toolbox) -> str:
    return (await backend.chat(ChatRequest(messages=case.messages))).text


def a_context(agent: Agent, *, say: str = "5", scorer: object = None, **options: object) -> RunContext:
    return RunContext(
        agent=agent,
        backend=SayBackend(say),
        toolbox=lambda case: nullcontext(adder()),
        user=ScriptedUser(ScriptedUserConfig()),
        scorers=[scorer or ExactScorer(ExactConfig())],  # type: ignore[list-item]
        passed_by=("exact",),
        options=RunOptions.model_validate({"backoff_s": 0, **options}),
    )


async def collect(jobs: list[Job], context: RunContext) -> list[Attempt]:
    return [attempt async for attempt, _ in run_jobs(jobs, context)]


async def test_a_right_answer_passes_and_its_trace_is_kept() -> None:
    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(ask))
    assert attempt.passed is True
    assert attempt.failure is None
    assert attempt.trace.output == "5"
    assert len(attempt.trace.model_calls) == 1
    assert attempt.started_at <= attempt.trace.model_calls[0].sent_at <= attempt.ended_at


async def test_a_wrong_answer_is_no_failure() -> None:
    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(ask, say="6"))
    assert (attempt.passed, attempt.failure) == (False, None)
    assert "expected '5', got '6'" in attempt.scores[0].reason


async def test_an_agent_that_raises_is_an_agent_failure_with_what_it_did_so_far() -> None:
    async def broken(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        await backend.chat(ChatRequest(messages=case.messages))
        raise KeyError("lost")

    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(broken))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.message) == ("agent", "KeyError: 'lost'")
    assert "in broken" in attempt.failure.detail
    assert (attempt.passed, attempt.scores, len(attempt.trace.steps)) == (None, (), 1)


async def test_an_agent_that_does_not_end_is_a_timeout() -> None:
    async def endless(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        await backend.chat(ChatRequest(messages=case.messages))
        await asyncio.Event().wait()
        return ""

    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(endless, timeout_s=0.05))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.message) == ("timeout", "not done after 0.05 s")
    assert len(attempt.trace.steps) == 1


async def test_a_timeout_inside_the_agent_is_the_agents_own() -> None:
    async def impatient(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        raise TimeoutError("my own limit")

    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(impatient))
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

    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(flaky, max_tries=3))
    assert (attempt.passed, attempt.tries) == (True, 3)


@pytest.mark.parametrize(("kind", "tries"), [("infra", 3), ("agent", 1), ("budget", 1)])
async def test_only_infra_failures_are_tried_again_and_not_for_ever(kind: str, tries: int) -> None:
    async def failing(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        raise AttemptError(kind, "no")  # type: ignore[arg-type]

    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(failing, max_tries=3))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.tries) == (kind, tries)


async def test_a_scorer_that_raises_is_a_grader_failure() -> None:
    class Broken:
        name = "exact"

        async def score(self, case: Case, trace: Trace) -> Score:
            raise ZeroDivisionError("0/0")

    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(ask, scorer=Broken()))
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
    attempts = await collect(jobs, a_context(counted, concurrency=4))
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
    attempts = run_jobs(jobs, a_context(agent, concurrency=4))
    assert (await anext(attempts))[0].case_id == "c0"
    await attempts.aclose()
    assert cancelled == 3


async def test_every_repeat_has_a_seed_of_its_own_that_reaches_the_model() -> None:
    context = a_context(ask)
    jobs = [Job(case=a_case(name), repeat=repeat) for name in ("a", "b") for repeat in range(3)]
    attempts = await collect(jobs, context)
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
    context = replace(a_context(ask, scorer=scorer), passed_by=("label",))
    attempt = await run_job(Job(case=a_case(), repeat=0), context)
    assert [score.name for score in attempt.scores] == ["label"]
    assert attempt.passed is True


class OwnBaseException(BaseException):
    """What no `except Exception` sees."""


async def cancelled_itself() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()
    await task


async def cancelled_its_own_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def left() -> None:
    sys.exit(3)


async def left_in_a_thread() -> None:
    await in_thread(lambda: sys.exit(3))


async def cancelled_in_a_thread() -> None:
    def raising() -> None:
        raise asyncio.CancelledError

    await in_thread(raising)


async def raised_its_own() -> None:
    raise OwnBaseException("mine")


async def was_closed() -> None:
    raise GeneratorExit


async def interrupted_itself() -> None:
    raise KeyboardInterrupt


WAYS: dict[Callable[[], Awaitable[None]], str] = {
    cancelled_itself: "CancelledError: a task was cancelled, and not by the run",
    cancelled_its_own_task: "CancelledError: a task was cancelled, and not by the run",
    cancelled_in_a_thread: "CancelledError: a task was cancelled, and not by the run",
    left: "SystemExit: 3",
    left_in_a_thread: "SystemExit: 3",
    raised_its_own: "OwnBaseException: mine",
    was_closed: "GeneratorExit: ",
    interrupted_itself: "KeyboardInterrupt: ",
}
"""How code of a user's may end beside returning and raising an exception, and how that is told."""


async def attempts_with(context: RunContext) -> dict[str, Attempt]:
    jobs = [Job(case=a_case(f"c{index:02}"), repeat=0) for index in range(20)]
    return {attempt.case_id: attempt for attempt in await collect(jobs, context)}


def assert_only_c03_failed(attempts: dict[str, Attempt], kind: str, message: str) -> None:
    failures = {name: attempt.failure for name, attempt in attempts.items() if attempt.failure}
    assert list(failures) == ["c03"]
    assert (failures["c03"].kind, failures["c03"].message) == (kind, message)
    assert sum(attempt.passed is True for attempt in attempts.values()) == 19


@pytest.mark.parametrize("way", WAYS)
async def test_however_an_agent_ends_it_is_a_failure_of_its_attempt(way: Callable[[], Awaitable[None]]) -> None:
    async def agent(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        if case.id == "c03":
            await way()
        return "5"

    assert_only_c03_failed(await attempts_with(a_context(agent)), "agent", WAYS[way])


@pytest.mark.parametrize("way", WAYS)
async def test_however_a_scorer_ends_it_is_a_failure_of_its_attempt(way: Callable[[], Awaitable[None]]) -> None:
    class Ending(ExactScorer):
        async def score(self, case: Case, trace: Trace) -> Score:
            if case.id == "c03":
                await way()
            return await super().score(case, trace)

    attempts = await attempts_with(a_context(ask, scorer=Ending(ExactConfig())))
    assert_only_c03_failed(attempts, "grader", f"exact: {WAYS[way]}")


@pytest.mark.parametrize("way", WAYS)
async def test_however_a_simulated_user_ends_it_is_a_failure_of_its_attempt(
    way: Callable[[], Awaitable[None]],
) -> None:
    class Ending:
        async def say(self, conversation: Sequence[Message]) -> tuple[Message, ...]:
            if conversation[0]["content"] == "end":
                await way()
            return ()

    class EndingUser(ScriptedUser):
        def session(self, case: Case, seed: int) -> Any:
            return Ending()

    context = replace(a_context(ask, max_tries=1), user=EndingUser(ScriptedUserConfig()))
    jobs = [Job(case=replace(a_case(name, name), user={"any": True}), repeat=0) for name in ("go on", "end")]
    ended, going = sorted(await collect(jobs, context), key=lambda attempt: attempt.case_id)
    assert going.passed is True
    assert ended.failure is not None
    assert (ended.failure.kind, ended.failure.message) == ("infra", f"the simulated user: {WAYS[way]}")


@pytest.mark.parametrize("way", [way for way in WAYS if way not in (left, left_in_a_thread)])
async def test_a_tool_that_is_cancelled_breaks_its_attempt(way: Callable[[], Awaitable[None]]) -> None:
    async def look() -> str:
        """Look."""
        await way()
        return ""

    async def agent(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        if case.id == "c03":
            await tools.call("look", {})
        return "5"

    context = replace(a_context(agent), toolbox=lambda case: nullcontext(CaseToolbox([FunctionTool(look)], [])))
    attempts = await attempts_with(context)
    assert_only_c03_failed(attempts, "tool", f"look: {WAYS[way]}")
    assert [call.name for call in attempts["c03"].trace.tool_calls] == ["look"]


@pytest.mark.parametrize("at", ["opening", "state", "closing"])
@pytest.mark.parametrize("way", WAYS)
async def test_however_the_tools_of_an_attempt_end_it_is_a_failure_of_it(
    way: Callable[[], Awaitable[None]], at: str
) -> None:
    class Stateful(CaseToolbox):
        async def state(self) -> Any:
            await way()

    @asynccontextmanager
    async def opened(case: Case) -> AsyncIterator[CaseToolbox]:
        breaks = case.id == "c03"
        if breaks and at == "opening":
            await way()
        yield Stateful([], []) if breaks and at == "state" else adder()
        if breaks and at == "closing":
            await way()

    attempts = await attempts_with(replace(a_context(ask), toolbox=opened))
    assert_only_c03_failed(attempts, "tool", WAYS[way])


async def test_tools_are_closed_by_the_task_that_opened_them() -> None:
    tasks: list[object] = []

    @asynccontextmanager
    async def opened(case: Case) -> AsyncIterator[CaseToolbox]:
        tasks.append(asyncio.current_task())
        yield adder()
        tasks.append(asyncio.current_task())

    await run_job(Job(case=a_case(), repeat=0), replace(a_context(ask), toolbox=opened))
    assert tasks[0] is tasks[1]


async def test_an_attempt_that_an_agent_cancels_is_told_and_the_others_go_on() -> None:
    """As by an agent that ends every task of what it takes for its own process."""
    waiting = asyncio.Event()
    release = asyncio.Event()

    async def agent(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        if case.id == "cancelled":
            waiting.set()
            await release.wait()
        await waiting.wait()
        for task in asyncio.all_tasks() - before:
            if "cancelled" in repr(task.get_coro().cr_frame.f_locals):  # type: ignore[union-attr]
                task.cancel()
        return "5"

    before = asyncio.all_tasks()
    jobs = [Job(case=a_case(name), repeat=0) for name in ("cancelled", "cancelling")]
    attempts = {attempt.case_id: attempt for attempt in await collect(jobs, a_context(agent))}
    assert attempts["cancelling"].passed is True
    failure = attempts["cancelled"].failure
    assert failure is not None
    assert failure.kind == "agent"


async def test_an_agent_that_swallows_its_cancellation_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "GRACE_S", 0.02)
    monkeypatch.setattr(recorder, "BRAKE_S", 0.0)
    release, ended = asyncio.Event(), asyncio.Event()
    late: list[BaseException] = []

    async def stubborn(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        if case.id != "c03":
            return "5"
        while not release.is_set():
            with suppress(BaseException):
                await release.wait()
        for call in (backend.chat(ChatRequest(messages=case.messages)), tools.call("add", {"a": 1})):
            try:
                await call
            except AttemptError as error:
                late.append(error)
        ended.set()
        return "5"

    context = a_context(stubborn, timeout_s=0.05, concurrency=2)
    attempts = await attempts_with(context)
    assert_only_c03_failed(attempts, "timeout", "not done after 0.05 s")
    assert (attempts["c03"].ended_at - attempts["c03"].started_at) < 10**9
    release.set()
    await ended.wait()
    assert list(map(str, late)) == ["the attempt has ended"] * 2
    assert context.backend.requests == []  # type: ignore[attr-defined]


async def test_an_agent_that_asks_again_for_ever_over_its_budget_is_ended() -> None:
    async def insistent(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        while True:
            with suppress(Exception):
                await backend.chat(ChatRequest(messages=case.messages))

    context = a_context(insistent, timeout_s=0.05, limits={"model_calls": 2})
    attempt = await asyncio.wait_for(run_job(Job(case=a_case(), repeat=0), context), 10)
    assert attempt.failure is not None
    assert len(attempt.trace.model_calls) == 2


@pytest.mark.parametrize("in_time", [True, False])
async def test_a_call_that_the_timeout_cuts_off_is_in_the_trace(in_time: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be it that the tool is cancelled, or that it swallows that."""
    monkeypatch.setattr(guest, "GRACE_S", 0.02)
    release = asyncio.Event()

    async def look(at: str) -> str:
        """Look."""
        while not release.is_set():
            with suppress(*(() if in_time else (asyncio.CancelledError,))):
                await release.wait()
        return "seen"

    async def agent(case: Case, backend: ChatClient, tools: Toolbox) -> str:
        return (await tools.call("look", '{"at": "it"}', "call_1")).result or ""

    box = CaseToolbox([FunctionTool(look)], [])
    context = replace(a_context(agent, timeout_s=0.05), toolbox=lambda case: nullcontext(box))
    attempt = await run_job(Job(case=a_case(), repeat=0), context)
    release.set()
    assert attempt.failure is not None
    assert attempt.failure.kind == "timeout"
    [call] = attempt.trace.tool_calls
    assert (call.name, call.arguments, call.call_id, call.executed) == ("look", {"at": "it"}, "call_1", True)
    assert call.error == "cut off: the attempt ended during the call"
    assert call.started_at < call.ended_at


@pytest.mark.parametrize(
    ("score", "flaw"),
    [
        (Score(name="s", value=float("nan"), passed=True), "its value is nan; a score is a number from 0 to 1"),
        (Score(name="s", value=2.0, passed=True), "its value is 2.0; a score is a number from 0 to 1"),
        (Score(name="s", value=-1, passed=True), "its value is -1; a score is a number from 0 to 1"),
        (Score(name="s", value=float("inf"), passed=True), "its value is inf; a score is a number from 0 to 1"),
        (Score(name="s", value="1", passed=True), "its value is '1'; a score is a number from 0 to 1"),  # type: ignore[arg-type]
        (Score(name="s", value=1, passed="yes"), "its passed is 'yes'; expected True, False or None"),  # type: ignore[arg-type]
        (0.5, "returned a float, not a Score"),
        (None, "returned a NoneType, not a Score"),
    ],
)
async def test_a_score_that_is_none_is_a_grader_failure(score: Any, flaw: str) -> None:
    class Odd:
        name = "exact"

        async def score(self, case: Case, trace: Trace) -> Score:
            return score  # type: ignore[no-any-return]

    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(ask, scorer=Odd()))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.message) == ("grader", f"exact: {flaw}")
    assert (attempt.scores, attempt.passed) == ((), None)


async def test_a_scorer_that_does_not_end_is_a_grader_failure() -> None:
    class Endless:
        name = "exact"

        async def score(self, case: Case, trace: Trace) -> Score:
            await asyncio.Event().wait()
            raise AssertionError

    attempt = await run_job(Job(case=a_case(), repeat=0), a_context(ask, scorer=Endless(), scorer_timeout_s=0.05))
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.message) == ("grader", "exact: not done after 0.05 s")


async def test_what_came_of_an_answer_that_broke_is_in_the_trace() -> None:
    class Breaks(SayBackend):
        async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
            raise BrokenOff("infra", "the connection was cut", await super().chat(request, relay))

    context = replace(a_context(ask, max_tries=1), backend=Breaks("hel"))
    attempt = await run_job(Job(case=a_case(), repeat=0), context)
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.message) == ("infra", "the connection was cut")
    [call] = attempt.trace.model_calls
    assert (call.text, call.error) == ("hel", "the connection was cut")


async def test_what_came_of_an_answer_that_the_timeout_cut_off_is_in_the_trace() -> None:
    class Hangs(SayBackend):
        async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
            call = await super().chat(request, relay)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise CutOff(call) from None
            return call

    context = replace(a_context(ask, timeout_s=0.05), backend=Hangs("hel"))
    attempt = await run_job(Job(case=a_case(), repeat=0), context)
    assert attempt.failure is not None
    assert attempt.failure.kind == "timeout"
    [call] = attempt.trace.model_calls
    assert (call.text, call.error) == ("hel", "cancelled: the caller disconnected or timed out")
