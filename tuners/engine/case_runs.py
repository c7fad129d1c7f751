"""The attempts that a study still needs, made on its server: within the budget, and again where they failed without
the agent's doing."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from time import monotonic

from agentbench.core.errors import UserError
from agentbench.core.protocols import Backend
from agentbench.run.experiment import Experiment, run_stored
from agentbench.run.runner import Job
from agentbench.store import Store
from tuners.engine.answer_cache import AnsweredCases, Keys
from tuners.engine.host import LiveHost
from tuners.search.budget import within
from tuners.search.evaluator import UNBOUNDED, Allowance, Broken, OutOfBudget
from tuners.space.configuration import Configuration

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
"""Between two looks at a server that is away; doubled each time."""

PATIENCE_S = 300.0
"""A server that we did not start is waited for so long; then the study stops, and goes on with --resume."""

OUTAGES = 5
"""So often in one rung a server may go away and come back; one that does more often breaks its candidate."""

LOOK_S = 1.0
"""So often a worker looks at what the others have spent."""

OnAttempt = Callable[[], None]


class Unreachable(UserError):
    """A server that had answered before did not come back: the study stops there, and can go on later."""


class Meter:
    """Hands out jobs for as long as the budget that all workers share has attempts left.

    `made` counts the attempts of this worker that are stored, `spent` those of all of them.
    """

    def __init__(self, most: int | None, spent: Callable[[], int], made: Callable[[], int]) -> None:
        self._most = most
        self._spent, self._made = spent, made
        self._before = 0 if most is None else spent() - made()
        self._others, self._looked_at = 0, monotonic()
        self._given = 0
        self.is_used_up = False

    def jobs(self, jobs: Sequence[Job]) -> Iterator[Job]:
        for job in jobs:
            if self._most is not None and self._given + self._by_others() >= self._most:
                self.is_used_up = True
                return
            self._given += 1
            yield job

    def go_on(self, done: int) -> None:
        """So many of what was handed out are done; the rest is to be handed out again."""
        self._given = done

    def _by_others(self) -> int:
        if monotonic() - self._looked_at > LOOK_S:
            self._others, self._looked_at = self._spent() - self._made() - self._before, monotonic()
        return self._others


class CaseRuns:
    """Makes attempts of one configuration, for its run, on the host's server."""

    def __init__(
        self,
        configuration: Configuration,
        experiment: Experiment,
        store: Store,
        answered: AnsweredCases,
        host: LiveHost,
        on_attempt: OnAttempt,
    ) -> None:
        self._configuration = configuration
        self._experiment = experiment
        self._store = store
        self._answered = answered
        self._host = host
        self._on_attempt = on_attempt

    async def make(self, jobs: Sequence[Job], spent: Callable[[], int], allowance: Allowance = UNBOUNDED) -> bool:
        """Whether all of the jobs were done; what the allowance ended is left out. `Broken` when the server died.

        `spent` counts the attempts of the whole study.
        """
        meter = Meter(allowance.case_runs, spent, lambda: len(self._stored()))
        try:
            async with within(allowance.seconds):
                await self._rounds(jobs, meter)
        except OutOfBudget:
            return False
        return not meter.is_used_up

    def _stored(self) -> Keys:
        return self._answered.stored_keys(self._experiment.run.id)

    async def _rounds(self, jobs: Sequence[Job], meter: Meter) -> None:
        """All, then once more what failed; a server that went away is waited for, and that is no second try."""
        tries, outages, left = 0, 0, list(jobs)
        while left:
            backend = await self._backend()
            if await self._unless_refused(meter.jobs(left), backend):
                tries += 1
            else:
                outages += 1
                await self._came_back(outages)
            if meter.is_used_up or tries == 2:
                return
            left = self._again(jobs, meter)

    async def _unless_refused(self, jobs: Iterator[Job], backend: Backend) -> bool:
        """A server that refuses everything (a key, a model's name) breaks its candidate; one that did not before, where
        it was asked in the same way, stops the study."""
        try:
            return await self._round(jobs, backend)
        except UserError as error:
            if self._answered.is_answered_by(self._configuration):
                raise
            raise Broken(str(error)) from error

    async def _round(self, jobs: Iterator[Job], backend: Backend) -> bool:
        """False when the server went away meanwhile; the attempts in flight are ended then."""
        async with aclosing(run_stored(self._experiment, jobs, self._store, backend)) as attempts:
            async for attempt in attempts:
                self._on_attempt()
                failed = attempt.failure is not None and attempt.failure.kind == "infra"
                if failed and not await self._host.is_alive():
                    return False
        return True

    def _again(self, jobs: Sequence[Job], meter: Meter) -> list[Job]:
        """The jobs that have no answer: those that failed, and those that were ended with the server."""
        self._answered.forget(self._experiment.run.id, {(job.case.id, job.repeat) for job in jobs})
        stored = self._stored()
        left = [job for job in jobs if (job.case.id, job.repeat) not in stored]
        meter.go_on(len(jobs) - len(left))
        return left

    async def _backend(self) -> Backend:
        """Of the configuration's server. One of somebody else's that answered before is waited for."""
        waiting = Waiting(self._configuration.base_url)
        while True:
            try:
                backend = await self._host.backend(self._configuration)
            except Broken as broken:
                if not self._has_answered():
                    raise
                await waiting.pause(str(broken))
                continue
            self._answered.keep_server(self._experiment.run.id, self._host.endpoint)
            return backend

    async def _came_back(self, outages: int) -> None:
        """Of a server that went away: ours has died, another's is waited for."""
        if not self._configuration.runs_elsewhere or outages > OUTAGES:
            await self._host.rest()
            raise Broken("the server died while it answered")
        waiting = Waiting(self._configuration.base_url)
        while not await self._host.is_alive():
            await waiting.pause("it does not answer")

    def _has_answered(self) -> bool:
        """Whether this is another's server that has answered in this study, in whichever process."""
        configuration = self._configuration
        return configuration.runs_elsewhere and (
            configuration.served in self._host.reached or self._answered.was_reached(configuration)
        )


class Waiting:
    """For a server that is away: with growing pauses, and not for ever."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pause_s = FIRST_PAUSE_S
        self._until = monotonic() + PATIENCE_S

    async def pause(self, reason: str) -> None:
        """Raises `Unreachable` where it has taken too long."""
        if monotonic() > self._until:
            raise Unreachable(f"{self._url} has been away for {PATIENCE_S:.0f} s: {reason}")
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
