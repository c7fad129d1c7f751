"""Runs cases: case to agent to trace or failure to score to attempt."""

import asyncio
import hashlib
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from time import perf_counter_ns
from typing import TypeVar

from agentbench.case import Case
from agentbench.config import RunOptions
from agentbench.errors import AttemptError, FailureKind
from agentbench.protocols import Agent, Backend, Reply, Scorer, Toolbox, User
from agentbench.recorder import Recorder
from agentbench.score import Attempt, Score, verdict
from agentbench.server_watch import ServerWatch
from agentbench.trace import Failure, Trace

Result = TypeVar("Result")

WALL_ANCHOR_NS = time.time_ns() - perf_counter_ns()
"""Added to a `perf_counter_ns` reading of this process it gives nanoseconds since the Unix epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt to be made."""

    case: Case
    repeat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every attempt of a run shares.

    `toolbox` opens the tools of one attempt; `passed_by` names the scorers that must all pass.
    """

    agent: Agent
    backend: Backend
    toolbox: Callable[[Case], AbstractAsyncContextManager[Toolbox]]
    user: User
    scorers: Sequence[Scorer]
    passed_by: Sequence[str]
    options: RunOptions
    watch: ServerWatch = field(default_factory=ServerWatch)


async def run_jobs(jobs: Iterable[Job], bench: Bench) -> AsyncGenerator[tuple[Attempt, Case]]:
    """Make the attempts, at most `concurrency` at once, and yield each as it ends, with its case.

    Closing the iterator (Ctrl-C, an error of the caller's) cancels the attempts in flight; they are lost. A server that
    refuses all of them (a wrong key) ends it with a `UserError`: those that it refused are lost too.
    """
    waiting = iter(jobs)
    running: dict[asyncio.Task[Attempt], Case] = {}
    try:
        while True:
            for job in waiting:
                running[asyncio.create_task(run_job(job, bench))] = job.case
                if len(running) >= bench.options.concurrency:
                    break
            if not running:
                return
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                attempt, case = task.result(), running.pop(task)
                if attempt.failure is not None:
                    bench.watch.require_answers()
                yield attempt, case
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def run_job(job: Job, bench: Bench) -> Attempt:
    """One attempt, tried again with a growing pause while it ends in an infra failure, and not before the server wants
    it: a wait that is longer than an attempt may take is not waited for."""
    pause = bench.options.backoff_s
    for tries in range(1, bench.options.max_tries + 1):
        attempt = await _try_once(job, bench, tries)
        if attempt.failure is None or attempt.failure.kind != "infra" or tries == bench.options.max_tries:
            break
        wait_s = bench.watch.wait_s()
        if bench.watch.is_in_vain(attempt.failure.message) or wait_s > bench.options.timeout_s:
            break
        await asyncio.sleep(max(pause, wait_s))
        pause *= 2
    return attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What came of an agent's work on a case, before it is graded; opening the tools is not part of its time."""

    trace: Trace
    failure: Failure | None
    started_at: int
    ended_at: int


async def _try_once(job: Job, bench: Bench, tries: int) -> Attempt:
    seed = attempt_seed(bench.options.seed, job.case.id, job.repeat)
    work = await _work(job.case, bench, seed)
    scores = work.failure or await _grade(bench.scorers, job.case, work.trace)
    graded = () if isinstance(scores, Failure) else scores
    return Attempt(
        case_id=job.case.id,
        cluster=job.case.cluster,
        repeat=job.repeat,
        seed=seed,
        tries=tries,
        started_at=work.started_at,
        ended_at=work.ended_at,
        wall_anchor_ns=WALL_ANCHOR_NS,
        trace=work.trace,
        failure=scores if isinstance(scores, Failure) else None,
        scores=graded,
        passed=verdict(graded, bench.passed_by),
    )


async def _work(case: Case, bench: Bench, seed: int) -> _Work:
    """The agent at work, with the tools of an attempt of its own."""
    async with AsyncExitStack() as stack:
        started_at = perf_counter_ns()
        tools = await _guarded("tool", stack.enter_async_context(bench.toolbox(case)))
        if isinstance(tools, Failure):
            return _Work(trace=Trace(), failure=tools, started_at=started_at, ended_at=perf_counter_ns())
        recorder = Recorder(bench.watch.over(bench.backend), tools, seed, bench.options.limits)
        stack.push_async_callback(recorder.release)
        started_at = perf_counter_ns()
        answer = await _ask(case, bench, recorder, seed)
        ended_at = perf_counter_ns()
        if isinstance(answer, Failure):
            return _Work(trace=recorder.trace(), failure=answer, started_at=started_at, ended_at=ended_at)
        state = await _guarded("tool", tools.state())
        failure = state if isinstance(state, Failure) else None
        trace = recorder.trace(answer, None if failure else state)
        return _Work(trace=trace, failure=failure, started_at=started_at, ended_at=ended_at)


async def _ask(case: Case, bench: Bench, recorder: Recorder, seed: int) -> str | Failure:
    """The agent's final text, or why there is none."""
    options = bench.options
    limit_s = min(options.timeout_s, options.limits.seconds or options.timeout_s)
    try:
        async with asyncio.timeout(limit_s):
            answer = await _guarded("agent", _talk(case, bench, recorder, seed))
    except TimeoutError:
        if limit_s < options.timeout_s:
            return Failure(kind="budget", message=f"more than run.limits.seconds={limit_s:g}")
        return Failure(kind="timeout", message=f"not done after {limit_s:g} s")
    if recorder.broken is not None:
        return Failure(kind=recorder.broken.kind, message=str(recorder.broken), detail=recorder.broken.detail)
    return answer


async def _talk(case: Case, bench: Bench, recorder: Recorder, seed: int) -> str:
    """The agent and the user in turn until the user has nothing more to say; the agent's last text."""
    user = bench.user.session(case, seed) if case.user else None
    while True:
        answer = await bench.agent(case, recorder, recorder)
        reply = Reply(text=answer) if isinstance(answer, str) else answer
        if user is None:
            return reply.text
        added = reply.messages or ({"role": "assistant", "content": reply.text},)
        conversation = (*case.messages, *added)
        started_at = perf_counter_ns()
        said = await _guarded("infra", user.say(conversation))
        if isinstance(said, Failure):
            raise AttemptError("infra", f"the simulated user: {said.message}")
        if not said:
            return reply.text
        recorder.user_turn(said, await recorder.state(), started_at)
        case = replace(case, messages=(*conversation, *said))


async def _grade(scorers: Sequence[Scorer], case: Case, trace: Trace) -> tuple[Score, ...] | Failure:
    scores: list[Score] = []
    for scorer in scorers:
        score = await _guarded("grader", scorer.score(case, trace))
        if isinstance(score, Failure):
            return score
        scores.append(replace(score, name=scorer.name))
    return tuple(scores)


async def _guarded(kind: FailureKind, work: Awaitable[Result]) -> Result | Failure:
    """What `work` returns, or the failure that it raised; `kind` is that of an exception that names none."""
    try:
        return await work
    except AttemptError as error:
        return Failure(kind=error.kind, message=str(error), detail=error.detail)
    # The one broad except: a user's agent or scorer may raise anything, and none of it may end the run.
    except Exception as error:
        detail = "".join(traceback.format_exception(error))
        return Failure(kind=kind, message=f"{type(error).__name__}: {error}", detail=detail)


def attempt_seed(run_seed: int, case_id: str, repeat: int) -> int:
    """A seed of its own for each case and repeat (31 bits), the same in every run with the same run seed."""
    digest = hashlib.blake2b(f"{run_seed}\0{case_id}\0{repeat}".encode("utf-8", "surrogatepass"), digest_size=4)
    return int.from_bytes(digest.digest(), "big") >> 1
