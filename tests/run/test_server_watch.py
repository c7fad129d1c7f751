"""A server that refuses all of a run, or asks it to wait."""

import asyncio
from dataclasses import replace

import pytest

from agentbench.core.attempt import Attempt
from agentbench.core.errors import ServerRefused, UserError
from agentbench.core.protocols import ChatRequest, Relay
from agentbench.core.trace import ModelCall
from agentbench.run.runner import Job, RunContext, ServerWatch, run_job, run_jobs
from tests.fakes import SayBackend, a_case
from tests.run.test_runner import a_context, ask


class Scripted(SayBackend):
    """Refuses with these in turn, None for an answer; then with the last of them for ever."""

    def __init__(self, *refusals: ServerRefused | None) -> None:
        super().__init__("5")
        self._refusals = refusals

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        call = await super().chat(request, relay)
        if refusal := self._refusals[min(len(self.requests), len(self._refusals)) - 1]:
            raise refusal
        return call


def context_of(*refusals: ServerRefused | None, **options: object) -> RunContext:
    return replace(a_context(ask, **options), backend=Scripted(*refusals))  # type: ignore[arg-type]


async def attempts_of(context: RunContext, number: int = 6) -> tuple[list[Attempt], str]:
    """Those that ended, and what ended the run before."""
    jobs = [Job(case=replace(a_case(), id=f"c{index}"), repeat=0) for index in range(number)]
    ended: list[Attempt] = []
    try:
        async for attempt, _ in run_jobs(jobs, context):
            ended.append(attempt)
    except UserError as error:
        return ended, str(error)
    return ended, ""


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_server_that_refuses_from_the_start_ends_the_run_with_one_line(status: int) -> None:
    context = context_of(ServerRefused(status, "who are you"), concurrency=1)
    ended, said = await attempts_of(context)
    assert ended == []
    assert said.startswith(f"the model server refuses the run's requests: HTTP {status}: who are you. Check")
    assert len(context.backend.requests) == 1  # type: ignore[attr-defined]


async def test_a_server_that_refuses_later_ends_the_run_after_a_few_and_keeps_what_was_graded() -> None:
    ended, said = await attempts_of(context_of(None, None, ServerRefused(401, "expired"), concurrency=1))
    assert [attempt.passed for attempt in ended] == [True, True, None, None]
    assert "HTTP 401: expired" in said


async def test_one_refusal_among_answers_is_that_attempt_s() -> None:
    ended, said = await attempts_of(context_of(None, ServerRefused(403, "flagged"), None, concurrency=1))
    assert said == ""
    assert [attempt.failure and attempt.failure.kind for attempt in ended] == [None, "infra", *[None] * 4]
    assert ended[1].tries == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
async def test_a_busy_server_is_asked_again(status: int) -> None:
    attempt = await run_job(Job(case=a_case(), repeat=0), context_of(ServerRefused(status, "busy"), None))
    assert (attempt.passed, attempt.tries) == (True, 2)


async def test_it_is_asked_again_when_it_wants_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    busy = ServerRefused(429, "slow down", 7.0)
    context = replace(context_of(busy, None, backoff_s=0.5), watch=ServerWatch(lambda: now[0]))
    attempt = await run_job(Job(case=a_case(), repeat=0), context)
    assert (attempt.passed, attempt.tries) == (True, 2)
    assert 7.0 in slept


async def test_a_wait_that_is_longer_than_an_attempt_is_not_waited_for() -> None:
    context = context_of(ServerRefused(429, "tomorrow", 86400.0), timeout_s=300)
    attempt = await run_job(Job(case=a_case(), repeat=0), context)
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.failure.message, attempt.tries) == ("infra", "HTTP 429: tomorrow", 1)
