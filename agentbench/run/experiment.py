"""Executes a run: starts the server, runs the cases, stores each attempt, and stops the server."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError
from agentbench.core.protocols import (
    Agent,
    Backend,
    ChecksItself,
    Endpoint,
    Server,
    ToolSource,
    UsesAnswers,
    UsesBackend,
)
from agentbench.core.run import Run, RunKind
from agentbench.processes import identity
from agentbench.references import beside
from agentbench.run.model_server import opened_backend, running, server_of
from agentbench.run.provenance import provenance
from agentbench.run.runner import Job, RunContext, run_jobs
from agentbench.run.sources import changed, graded_by, part_hashes
from agentbench.run.storing import stored
from agentbench.store import Store
from agentbench.suite import registry
from agentbench.suite.config import RunConfig, as_mapping, canonical_hash
from agentbench.suite.former_defaults import as_it_ran
from agentbench.suite.suite import Suite, load_suite
from agentbench.suite.validation import validate
from agentbench.tools import load_tools, opened_toolbox, refuse_clashes

RESULTS = Path("results")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A stored run and its suite, restricted to the run's cases."""

    run: Run
    suite: Suite

    def jobs(self, stored: set[tuple[str, int]]) -> Iterator[Job]:
        """The planned attempts that are not stored yet: every case of the first repeat, then of the second, …."""
        for repeat in range(self.run.repeats):
            for case in self.suite.cases:
                if (case.id, repeat) not in stored:
                    yield Job(case=case, repeat=repeat)

    def is_done(self, stored: set[tuple[str, int]]) -> bool:
        """Whether all planned attempts are stored."""
        return next(self.jobs(stored), None) is None


def plan(
    suite: Suite,
    store: Store,
    label: str = "",
    facts: Mapping[str, Any] | None = None,
    kind: RunKind | None = None,
) -> Experiment:
    """Store a new run of the suite (of the cases that its `run.limit` draws) without attempts yet.

    `facts` are added to its environment. Without a `kind` it is a run of the suite, or of a part when it leaves out
    cases.
    """
    drawn = suite.drawn()
    _check_parts(drawn, store)
    config = as_mapping(drawn.config)
    run = Run(
        id=_new_id(drawn.name),
        suite=drawn.name,
        suite_version=drawn.version,
        suite_path=str(drawn.path),
        suite_hash=drawn.content_hash(),
        config=config,
        config_hash=canonical_hash(config),
        case_ids=tuple(case.id for case in drawn.cases),
        repeats=drawn.config.run.repeats,
        kind=kind or ("part" if len(drawn.cases) < drawn.size else "suite"),
        label=label,
        environment={
            **provenance(drawn.root, (RESULTS, *_files_of(store))),
            "objectives": dict(drawn.objectives),
            **({"prices": {model: dict(price) for model, price in drawn.prices.items()}} if drawn.prices else {}),
            "passed_by": list(drawn.passed_by),
            "suite": dict(drawn.written),
            "suite_cases": drawn.size,
            "overridden": list(drawn.overridden),
            "mode": drawn.mode,
            "gate": drawn.gate.model_dump(mode="json", exclude_defaults=True),
            "made_of": dict(part_hashes(drawn)),
            **(facts or {}),
        },
        created_at=datetime.now(UTC),
    )
    store.create_run(run)
    return Experiment(run=run, suite=drawn)


def _files_of(store: Store) -> Iterator[Path]:
    """The store's files, which provenance ignores; with them its directory when that is a results directory."""
    for file in store.files:
        yield file
        if file.parent.name == RESULTS.name:
            yield file.parent


def _new_id(suite: str) -> str:
    """A unique id that sorts by time and names the suite: `bfcl_simple-20260102-030405-a1b2c3`."""
    return f"{suite}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.urandom(3).hex()}"


def resume(reference: str, store: Store) -> Experiment:
    """An interrupted run with its own configuration.

    `UserError` when its suite has changed since, or when pytest or a study has to continue it.
    """
    run = store.get_run(reference)
    if run.kind == "rerun":
        raise UserError(f"run {run.id} is a rerun of failing cases, which pytest makes; run its suite again instead")
    if run.kind == "study":
        study = (run.environment.get("study") or {}).get("name", "NAME")
        raise UserError(f"run {run.id} belongs to a study; continue that: agentbench tune --resume {study}")
    config = as_it_ran(validate(RunConfig, run.config, lambda location: f"run {run.id}"))
    suite = load_suite(Path(run.suite_path), as_mapping(config)).drawn()
    if run.is_part:
        suite = suite.only(frozenset(run.case_ids))
    if suite.content_hash() != run.suite_hash:
        raise UserError(
            f"run {run.id} can't be resumed: the cases of {run.suite_path} have changed since it was started."
            " Start a new run instead."
        )
    if parts := _changed_parts(run, suite):
        raise UserError(
            f"run {run.id} can't be resumed: {', '.join(parts)} changed since it was started, and one run would mix"
            " both versions. Start a new run instead."
        )
    return Experiment(run=run, suite=suite)


def _changed_parts(run: Run, suite: Suite) -> list[str]:
    """The parts of the run's suite, and the files it names, that have changed since. Earlier versions stored only the
    text of the suite file.
    """
    environment = run.environment
    if hashes := environment.get("made_of"):
        return changed(hashes, part_hashes(suite))
    before = {**environment.get("suite", {}), "passed_by": list(environment.get("passed_by", suite.passed_by))}
    now = graded_by(suite)
    return [name for name in before if before[name] != now.get(name)]


def _server(suite: Suite) -> Server | None:
    return server_of(suite.config.backend, suite.config.serving, ("serving",))


@asynccontextmanager
async def started_server(suite: Suite, log_path: Path) -> AsyncIterator[Endpoint | None]:
    """The suite's server, running until the context ends; None when its backend needs none."""
    server = _server(suite)
    if server is None:
        yield None
        return
    async with running(server, log_path) as endpoint:
        yield endpoint


def suite_backend(suite: Suite, endpoint: Endpoint | None) -> AbstractAsyncContextManager[Backend]:
    """The suite's backend, connected to `endpoint` until the context ends."""
    return opened_backend(suite.config.backend, endpoint, ("backend",))


def _parts(suite: Suite) -> tuple[Agent, tuple[ToolSource, ...]]:
    """Builds the suite's agent, tools, scorers and user; `UserError` when the user's code can't be imported."""
    with beside(suite.root):
        return registry.build("agents", suite.config.agent, prefix=("agent",)), load_tools(suite.tools, suite.root)


def _check_parts(suite: Suite, store: Store) -> None:
    """`UserError` for mistakes that would end the run at its start; the run is not stored then."""
    agent, tools = _parts(suite)
    for part in (agent, *tools, suite.user, *suite.scorers):
        _answers_of(part, store)
    checked: tuple[object, ...] = (agent, _server(suite))
    for part in checked:
        if isinstance(part, ChecksItself):
            part.check()


def _answers_of(part: object, store: Store) -> str | None:
    """The answers of the run that a scorer compares with."""
    if isinstance(part, UsesAnswers) and part.answers_of is not None:
        return store.get_run(part.answers_of).id
    return None


@asynccontextmanager
async def opened_context(suite: Suite, backend: Backend, store: Store) -> AsyncIterator[RunContext]:
    """The runner's context for a suite; the resources of its parts (processes, servers) are open until the context
    ends.

    `store` has the runs that a scorer compares with.
    """
    agent, tools = _parts(suite)
    async with AsyncExitStack() as stack:
        for part in (agent, *tools, suite.user, *suite.scorers):
            if isinstance(part, UsesBackend):
                part.use(backend)
            if isinstance(part, UsesAnswers) and (run_id := _answers_of(part, store)):
                part.use_answers(store.answers(run_id))
            if isinstance(part, AbstractAsyncContextManager):
                await stack.enter_async_context(part)
        refuse_clashes(tools, suite.cases)
        yield RunContext(
            agent=agent,
            backend=backend,
            toolbox=partial(opened_toolbox, tools, timeout_s=suite.config.run.tool_timeout_s),
            user=suite.user,
            scorers=suite.scorers,
            passed_by=suite.passed_by,
            options=suite.config.run,
        )


def _take_up(run: Run, store: Store) -> None:
    """Marks a run of another process, or an interrupted one, as owned by this process."""
    mine = identity()
    if any(run.environment.get(name) != value for name, value in mine.items()):
        store.update_environment(run.id, mine)
    if run.status != "running":
        store.set_status(run.id, "running")


async def perform(experiment: Experiment, store: Store) -> AsyncGenerator[Attempt]:
    """Start the server, run the missing attempts, and yield each attempt once it is stored."""
    run, suite = experiment.run, experiment.suite
    stored_before = store.stored_keys(run.id)
    if experiment.is_done(stored_before):
        return
    _take_up(run, store)
    async with started_server(suite, log_path(run)) as endpoint:
        store.update_environment(run.id, {"server": dict(endpoint.info) if endpoint else {}})
        async with suite_backend(suite, endpoint) as backend:
            async for attempt in run_stored(experiment, experiment.jobs(stored_before), store, backend):
                yield attempt


async def run_stored(
    experiment: Experiment, jobs: Iterable[Job], store: Store, backend: Backend
) -> AsyncGenerator[Attempt]:
    """Run the jobs on a backend that is ready; each attempt is stored before it is yielded."""
    async with (
        opened_context(experiment.suite, backend, store) as context,
        aclosing(run_jobs(jobs, context)) as attempts,
        aclosing(stored(attempts, store, experiment.run.id, context.options.concurrency)) as ended_attempts,
    ):
        async for attempt in ended_attempts:
            yield attempt


def log_path(run: Run) -> Path:
    """The path of the log of the run's server."""
    return RESULTS / "logs" / f"{run.id}.server.log"


def backend_overrides(name: str | None) -> dict[str, Any]:
    """The settings of `--backend NAME|URL`: a registered backend, a registered server, or the URL of a running one."""
    if name is None:
        return {}
    if name.startswith(("http://", "https://")):
        return {"serving": {"server": "url", "base_url": name}, "backend": "openai_http"}
    if name in registry.names("servers"):
        return {"serving.server": name, "backend": "openai_http"}
    registry.resolve("backends", name, "--backend")
    return {"backend": name}


def merged(*overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides merged in order; a later one wins."""
    result: dict[str, Any] = {}
    for each in overrides:
        for path, value in each.items():
            result.pop(path, None)
            result[path] = value
    return result
