"""Runs the attempts that a study needs on its server, within the budget; retries failures that are not the agent's."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from time import monotonic

from agentbench.core.errors import UserError
from agentbench.core.protocols import Backend
from agentbench.run.experiment import Experiment, run_stored
from agentbench.run.runner import Job
from agentbench.store import Store
from tuners.engine.answer_cache import AnswerCache, Keys
from tuners.engine.host import LiveHost
from tuners.search.budget import within
from tuners.search.evaluator import UNBOUNDED, Allowance, Broken, OutOfBudget
from tuners.space.configuration import Configuration

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
"""Seconds between two checks of a server that is away; doubled each time."""

PATIENCE_S = 300.0
"""Seconds to wait for a server that we did not start; then the study stops, and --resume continues it."""

OUTAGES = 5
"""How often in one rung a server may go away and come back; one more outage breaks its candidate."""

CHECK_S = 1.0
"""Seconds between two readings of what the other workers have spent."""

OnAttempt = Callable[[], None]


class Unreachable(UserError):
    """An external server that was reached before did not come back. The study stops, and can be resumed later."""


class Meter:
    """Hands out jobs until `most` attempts are spent by all workers together; None means no limit.

    `stored` counts the stored attempts of this run, `spent` those of the whole study.
    """

    def __init__(self, most: int | None, spent: Callable[[], int], stored: Callable[[], int]) -> None:
        self._most = most
        self._spent, self._stored = spent, stored
        self._before = 0 if most is None else spent() - stored()
        self._others, self._read_at = 0, monotonic()
        self._handed_out = 0
        self.is_used_up = False

    def jobs(self, jobs: Sequence[Job]) -> Iterator[Job]:
        for job in jobs:
            if self._most is not None and self._handed_out + self._spent_by_others() >= self._most:
                self.is_used_up = True
                return
            self._handed_out += 1
            yield job

    def set_done(self, done: int) -> None:
        """Counts only `done` jobs as handed out: the others did not finish and will be handed out again."""
        self._handed_out = done

    def _spent_by_others(self) -> int:
        if monotonic() - self._read_at > CHECK_S:
            self._others, self._read_at = self._spent() - self._stored() - self._before, monotonic()
        return self._others


class CaseRuns:
    """Runs attempts of one configuration on the host's server, and stores them in its run."""

    def __init__(
        self,
        configuration: Configuration,
        experiment: Experiment,
        store: Store,
        cache: AnswerCache,
        host: LiveHost,
        on_attempt: OnAttempt,
    ) -> None:
        self._configuration = configuration
        self._experiment = experiment
        self._store = store
        self._cache = cache
        self._host = host
        self._on_attempt = on_attempt

    async def run(self, jobs: Sequence[Job], spent: Callable[[], int], allowance: Allowance = UNBOUNDED) -> bool:
        """Runs the jobs; False when the allowance ended before the last of them.

        `spent` counts the attempts of the whole study. Raises `Broken` when the server died or refuses all requests,
        `Unreachable` when an external server stays away.
        """
        meter = Meter(allowance.case_runs, spent, lambda: len(self._stored()))
        try:
            async with within(allowance.seconds):
                await self._run_twice(jobs, meter)
        except OutOfBudget:
            return False
        return not meter.is_used_up

    def _stored(self) -> Keys:
        return self._cache.stored_keys(self._experiment.run.id)

    async def _run_twice(self, jobs: Sequence[Job], meter: Meter) -> None:
        """Runs all jobs, then once more those that failed. A try that an outage of the server ends does not count."""
        tries, outages, left = 0, 0, list(jobs)
        while left:
            backend = await self._backend()
            if await self._run_or_break(meter.jobs(left), backend):
                tries += 1
            else:
                outages += 1
                await self._wait_for_server(outages)
            if meter.is_used_up or tries == 2:
                return
            left = self._jobs_left(jobs, meter)

    async def _run_or_break(self, jobs: Iterator[Job], backend: Backend) -> bool:
        """As `_run_once`. A server that refuses all requests (a wrong key or model name) breaks its candidate.

        If the same server configuration answered before, the `UserError` stops the study instead.
        """
        try:
            return await self._run_once(jobs, backend)
        except UserError as error:
            if self._cache.has_answer_of_server(self._configuration):
                raise
            raise Broken(str(error)) from error

    async def _run_once(self, jobs: Iterator[Job], backend: Backend) -> bool:
        """Runs the jobs; False when the server went away, which cancels the attempts in flight."""
        async with aclosing(run_stored(self._experiment, jobs, self._store, backend)) as attempts:
            async for attempt in attempts:
                self._on_attempt()
                failed = attempt.failure is not None and attempt.failure.kind == "infra"
                if failed and not await self._host.is_alive():
                    return False
        return True

    def _jobs_left(self, jobs: Sequence[Job], meter: Meter) -> list[Job]:
        """The jobs without an answer: those that failed, and those that were cancelled when the server went away."""
        self._cache.delete_failed(self._experiment.run.id, {(job.case.id, job.repeat) for job in jobs})
        stored = self._stored()
        left = [job for job in jobs if (job.case.id, job.repeat) not in stored]
        meter.set_done(len(jobs) - len(left))
        return left

    async def _backend(self) -> Backend:
        """A backend of the configuration's server; waits for an external server that was reached before."""
        wait = ServerWait(self._configuration.base_url)
        while True:
            try:
                backend = await self._host.backend(self._configuration, self._experiment.run.id)
            except Broken as broken:
                if not self._was_reached():
                    raise
                await wait.pause(str(broken))
                continue
            self._cache.store_server(self._experiment.run.id, self._host.endpoint)
            return backend

    async def _wait_for_server(self, outages: int) -> None:
        """Waits for an external server that went away. Raises `Broken` for our own, and after too many outages."""
        if not self._configuration.runs_elsewhere:
            await self._host.rest()
            raise Broken("the server died while it answered")
        if outages > OUTAGES:
            await self._host.rest()
            raise Broken(f"{self._configuration.base_url} went away {outages} times while it answered")
        wait = ServerWait(self._configuration.base_url)
        while not await self._host.is_alive():
            await wait.pause("it does not answer")

    def _was_reached(self) -> bool:
        """Whether this is an external server that was reached in this study, by any process."""
        configuration = self._configuration
        return configuration.runs_elsewhere and (
            configuration.served in self._host.reached or self._cache.was_reached(configuration)
        )


class ServerWait:
    """Waits for a server that is away, with growing pauses, for at most `PATIENCE_S` seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pause_s = FIRST_PAUSE_S
        self._until = monotonic() + PATIENCE_S

    async def pause(self, reason: str) -> None:
        """Sleeps for the next pause; raises `Unreachable` when the time is over."""
        if monotonic() > self._until:
            raise Unreachable(f"{self._url} has been away for {PATIENCE_S:.0f} s: {reason}")
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
