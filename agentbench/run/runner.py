"""Runs cases: case to agent to trace or failure to score to attempt.

It also tracks whether the server asks a run to wait, or refuses all of its requests.
"""

import asyncio
import hashlib
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic, perf_counter_ns
from typing import TypeVar

from agentbench.core.attempt import Attempt, Score, verdict
from agentbench.core.case import Case
from agentbench.core.errors import AttemptError, FailureKind, ServerRefused, UserError
from agentbench.core.guest import GuestContext, Late, Raised, contained, described
from agentbench.core.protocols import (
    Agent,
    Backend,
    ChatRequest,
    MayHang,
    Relay,
    Reply,
    Scorer,
    Toolbox,
    User,
    UserSession,
)
from agentbench.core.trace import Failure, ModelCall, Trace
from agentbench.run.recorder import Recorder
from agentbench.suite.config import RunOptions

STRIKES = 3
"""Consecutive refusals that end a run whose server has answered before; a single one may be due to its prompt."""


class ServerWatch:
    """Watches every model call of a run; all its attempts share one."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._not_before = 0.0
        self._has_answered = False
        self._refusals: list[ServerRefused] = []

    def over(self, backend: Backend) -> "WatchedBackend":
        return WatchedBackend(backend, self)

    def answered(self) -> None:
        self._has_answered = True
        self._refusals.clear()

    def refused(self, refusal: ServerRefused) -> None:
        if refusal.is_for_all:
            self._refusals.append(refusal)
        if refusal.retry_after_s is not None:
            self._not_before = max(self._not_before, self._clock() + refusal.retry_after_s)

    def wait_s(self) -> float:
        """The remaining pause that the server asks for."""
        return max(0.0, self._not_before - self._clock())

    def is_in_vain(self, message: str) -> bool:
        """Whether a retry after a failure with this message would fail again."""
        return any(str(refusal) in message for refusal in self._refusals)

    def require_answers(self) -> None:
        """`UserError` when the server refuses every request: all since its last answer, or the run's first."""
        if self._refusals and (not self._has_answered or len(self._refusals) >= STRIKES):
            raise UserError(
                f"the model server refuses the run's requests: {self._refusals[-1]}. Check its address, its key"
                " (serving.api_key_env) and serving.model"
            )


class WatchedBackend:
    """A backend whose calls a `ServerWatch` watches."""

    def __init__(self, backend: Backend, watch: ServerWatch) -> None:
        self._backend = backend
        self._watch = watch
        self.needs_server = backend.needs_server

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        try:
            call = await self._backend.chat(request, relay)
        except ServerRefused as refusal:
            self._watch.refused(refusal)
            raise
        self._watch.answered()
        return call

    async def aclose(self) -> None:
        await self._backend.aclose()


Result = TypeVar("Result")

WALL_ANCHOR_NS = time.time_ns() - perf_counter_ns()
"""Added to a `perf_counter_ns` reading of this process it gives nanoseconds since the Unix epoch."""

OPENING_S = 120.0
"""Longest that the tools of an attempt may take to open."""

LEAVING_S = 30.0
"""Longest that tools, or what an agent holds, may take to close."""


OUT_OF_TIME = ("timeout", "budget")
"""Failures of the agent, unless it was waiting for a tool that hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt to run."""

    case: Case
    repeat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
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


async def run_jobs(jobs: Iterable[Job], context: RunContext) -> AsyncGenerator[tuple[Attempt, Case]]:
    """Run the attempts, at most `concurrency` at once, and yield each with its case as it ends.

    Closing the iterator (Ctrl-C, an error in the caller) cancels and loses the attempts in flight. A server that
    refuses all requests (a wrong key) ends the iterator with a `UserError`; the refused attempts are lost too.
    """
    waiting = iter(jobs)
    running: dict[asyncio.Task[Attempt], Job] = {}
    try:
        while True:
            for job in waiting:
                running[asyncio.create_task(run_job(job, context))] = job
                if len(running) >= context.options.concurrency:
                    break
            if not running:
                return
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                job = running.pop(task)
                attempt = _cancelled(job, context) if task.cancelled() else task.result()
                if attempt.failure is not None:
                    context.watch.require_answers()
                yield attempt, job.case
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _cancelled(job: Job, context: RunContext) -> Attempt:
    """An attempt that other code cancelled: an agent that cancels every task of the process."""
    failure = Failure(kind="agent", message="the attempt was cancelled by other code in this process")
    now = perf_counter_ns()
    return _attempt(job, context, 1, _Work(trace=Trace(), failure=failure, started_at=now, ended_at=now), ())


async def run_job(job: Job, context: RunContext) -> Attempt:
    """One attempt. After an infra failure it is tried again, with growing pauses and no earlier than the server asks; a
    pause longer than an attempt's limit is not waited for.
    """
    pause = context.options.backoff_s
    for tries in range(1, context.options.max_tries + 1):
        attempt = await _try_once(job, context, tries)
        if attempt.failure is None or attempt.failure.kind != "infra" or tries == context.options.max_tries:
            break
        wait_s = context.watch.wait_s()
        if context.watch.is_in_vain(attempt.failure.message) or wait_s > context.options.timeout_s:
            break
        await asyncio.sleep(max(pause, wait_s))
        pause *= 2
    return attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The outcome of an agent's work on a case before it is graded; the time to open the tools is not included."""

    trace: Trace
    failure: Failure | None
    started_at: int
    ended_at: int


async def _try_once(job: Job, context: RunContext, tries: int) -> Attempt:
    work = await _work(job, context)
    return _attempt(job, context, tries, work, work.failure or await _grade(context, job.case, work.trace))


def _attempt(job: Job, context: RunContext, tries: int, work: _Work, scores: tuple[Score, ...] | Failure) -> Attempt:
    graded = () if isinstance(scores, Failure) else scores
    return Attempt(
        case_id=job.case.id,
        cluster=job.case.cluster,
        repeat=job.repeat,
        seed=_seed(job, context),
        tries=tries,
        started_at=work.started_at,
        ended_at=work.ended_at,
        wall_anchor_ns=WALL_ANCHOR_NS,
        trace=work.trace,
        failure=work.failure or (scores if isinstance(scores, Failure) else None),
        scores=graded,
        passed=verdict(graded, context.passed_by),
    )


async def _work(job: Job, context: RunContext) -> _Work:
    """Runs the agent with the attempt's own tools."""
    started_at = perf_counter_ns()
    guest = GuestContext(context.toolbox(job.case))
    tools = await guest.enter(OPENING_S)
    if isinstance(tools, Raised | Late):
        failure = _failure("tool", tools, f"the tools were not open after {OPENING_S:g} s")
        return _Work(trace=Trace(), failure=failure, started_at=started_at, ended_at=perf_counter_ns())
    try:
        work = await _with_tools(job, context, tools)
    finally:
        left = await guest.leave(LEAVING_S)
    failed = _failure("tool", left, f"the tools were not closed after {LEAVING_S:g} s") if left else None
    return replace(work, failure=work.failure or failed)


async def _with_tools(job: Job, context: RunContext, tools: Toolbox) -> _Work:
    recorder = Recorder(context.watch.over(context.backend), tools, _seed(job, context), context.options.limits)
    started_at = perf_counter_ns()
    try:
        answer = await _ask(job, context, recorder)
        ended_at = recorder.close()
        if isinstance(answer, Failure) and answer.kind in OUT_OF_TIME:
            answer = await _stuck(tools) or answer
        if isinstance(answer, Failure):
            return _Work(trace=recorder.trace(), failure=answer, started_at=started_at, ended_at=ended_at)
        state = await _guarded("tool", tools.state, context.options.tool_timeout_s)
    finally:
        released = await _guarded("agent", recorder.release, LEAVING_S)
    failures = (each for each in (state, released) if isinstance(each, Failure))
    return _Work(
        trace=recorder.trace(answer, None if isinstance(state, Failure) else state),
        failure=next(failures, None),
        started_at=started_at,
        ended_at=ended_at,
    )


async def _stuck(tools: Toolbox) -> Failure | None:
    """The tool's failure, when the agent was waiting for a tool whose server no longer responds."""
    found = await _guarded("tool", tools.check) if isinstance(tools, MayHang) else None
    return found if isinstance(found, Failure) else None


async def _ask(job: Job, context: RunContext, recorder: Recorder) -> str | Failure:
    """The agent's final text, or its failure. Nothing that the agent does after its time limit is recorded."""
    options = context.options
    limit_s = min(options.timeout_s, options.limits.seconds or options.timeout_s)
    answer = await contained(partial(_talk, job, context, recorder), limit_s, recorder.close)
    if isinstance(answer, Late):
        if limit_s < options.timeout_s:
            return Failure(kind="budget", message=f"more than run.limits.seconds={limit_s:g}")
        return Failure(kind="timeout", message=f"not done after {limit_s:g} s")
    if recorder.broken is not None:
        return Failure(kind=recorder.broken.kind, message=str(recorder.broken), detail=recorder.broken.detail)
    return _failure("agent", answer) if isinstance(answer, Raised) else answer


async def _talk(job: Job, context: RunContext, recorder: Recorder) -> str:
    """Agent and user take turns until the user has nothing more to say; returns the agent's last text."""
    case = job.case
    user = await _by_the_user(partial(_session, context.user, case, _seed(job, context))) if case.user else None
    while True:
        answer = await context.agent(case, recorder, recorder)
        reply = Reply(text=answer) if isinstance(answer, str) else answer
        if user is None:
            return reply.text
        added = reply.messages or ({"role": "assistant", "content": reply.text},)
        conversation = (*case.messages, *added)
        started_at = perf_counter_ns()
        turn = await _by_the_user(partial(user.say, conversation))
        if not turn:
            return reply.text
        recorder.user_turn(turn, await recorder.state(), started_at)
        case = replace(case, messages=(*conversation, *turn))


async def _session(user: User, case: Case, seed: int) -> UserSession:
    return user.session(case, seed)


async def _by_the_user(work: Callable[[], Awaitable[Result]]) -> Result:
    """The simulated user's work; its failure does not count as the agent's."""
    done = await _guarded("infra", work)
    if isinstance(done, Failure):
        raise AttemptError("infra", f"the simulated user: {done.message}", done.detail)
    return done


async def _grade(context: RunContext, case: Case, trace: Trace) -> tuple[Score, ...] | Failure:
    scores: list[Score] = []
    for scorer in context.scorers:
        score = await _guarded("grader", partial(scorer.score, case, trace), context.options.scorer_timeout_s)
        if isinstance(score, Failure):
            return replace(score, message=f"{scorer.name}: {score.message}")
        if flaw := _flaw(score):
            return Failure(kind="grader", message=f"{scorer.name}: {flaw}")
        scores.append(replace(score, name=scorer.name))
    return tuple(scores)


def _flaw(score: object) -> str:
    """Why a scorer's return value is no valid score; empty when it is valid."""
    if not isinstance(score, Score):
        return f"returned a {type(score).__name__}, not a Score"
    if not isinstance(score.value, int | float) or not 0 <= score.value <= 1:
        return f"its value is {score.value!r}; a score is a number from 0 to 1"
    if score.passed not in (True, False, None):
        return f"its passed is {score.passed!r}; expected True, False or None"
    return ""


async def _guarded(
    kind: FailureKind, work: Callable[[], Awaitable[Result]], limit_s: float | None = None
) -> Result | Failure:
    """The result of `work`, or its failure; `kind` applies to exceptions that carry none."""
    outcome = await contained(work, limit_s)
    if isinstance(outcome, Raised | Late):
        return _failure(kind, outcome, f"not done after {limit_s or 0:g} s")
    return outcome


def _failure(kind: FailureKind, outcome: Raised | Late, late: str = "") -> Failure:
    """The failure of foreign code: it may raise anything, and none of it may end the run."""
    if isinstance(outcome, Late):
        return Failure(kind=kind, message=late)
    error = outcome.error
    if isinstance(error, AttemptError):
        return Failure(kind=error.kind, message=str(error), detail=error.detail)
    return Failure(kind=kind, message=described(error), detail="".join(traceback.format_exception(error)))


def _seed(job: Job, context: RunContext) -> int:
    return attempt_seed(context.options.seed, job.case.id, job.repeat)


def attempt_seed(run_seed: int, case_id: str, repeat: int) -> int:
    """The seed for a case and repeat (31 bits); the same run seed gives the same seeds."""
    digest = hashlib.blake2b(f"{run_seed}\0{case_id}\0{repeat}".encode("utf-8", "surrogatepass"), digest_size=4)
    return int.from_bytes(digest.digest(), "big") >> 1
