"""`agentbench run`: runs a suite and stores it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentbench.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentbench.core.attempt import Attempt
    from agentbench.run.experiment import Experiment
    from agentbench.store import Store


def run_command(
    suite: Annotated[Path | None, typer.Argument(help="A suite's directory or its suite.yaml.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Set a configuration key, e.g. agent.output=free."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in YAML, as tune writes them; --set is applied after.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="A backend or server by name, or the base URL of a running server.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Run this many cases, drawn by --sample-seed.")] = None,
    sample_seed: Annotated[int | None, typer.Option(min=0, help="Seed of --limit.")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Attempts of each case.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Attempts in flight at once.")] = None,
    label: Annotated[str, typer.Option(help="A name for the run, shown in tables and accepted by commands.")] = "",
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Continue a run that was interrupted.")] = None,
    db: Annotated[
        str | None, typer.Option(help="The store: a SQLite file or a database URL. Default: AGENTBENCH_DB.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON only.")] = False,
) -> None:
    """Run a suite, store every attempt as it ends, and print the result."""
    options = {"limit": limit, "sample_seed": sample_seed, "repeats": repeats, "concurrency": concurrency}
    run_options = {f"run.{key}": value for key, value in options.items() if value is not None}
    if resume is not None and (suite or settings or config or backend or run_options or label):
        raise UserError("--resume RUN continues with that run's own suite and settings; give no others")
    if resume is None and suite is None:
        raise UserError("which suite? For example: agentbench run suites/arithmetic")
    from agentbench.store import open_store

    store = open_store(db)
    try:
        experiment = (
            _resumed(resume, store) if resume else _planned(suite, settings, config, backend, run_options, label, store)
        )
        _perform(experiment, store)
        _print(experiment, store, as_json)
        _require_graded(experiment, store)
    finally:
        store.close()


def _resumed(reference: str, store: "Store") -> "Experiment":
    from agentbench.run.experiment import resume

    return resume(reference, store)


def _planned(
    suite: Path | None,
    settings: list[str] | None,
    config: Path | None,
    backend: str | None,
    run_options: dict[str, Any],
    label: str,
    store: "Store",
) -> "Experiment":
    from agentbench.run.experiment import backend_overrides, merged, plan
    from agentbench.suite.config import parse_overrides, read_settings
    from agentbench.suite.suite import load_suite

    assert suite is not None
    filed = read_settings(config) if config else {}
    overrides = merged(filed, backend_overrides(backend), parse_overrides(settings or []), run_options)
    return plan(load_suite(suite, overrides), store, label)


def _perform(experiment: "Experiment", store: "Store") -> None:
    """Run the missing attempts; the run's status records how it ended."""
    import asyncio

    from agentbench.cli.progress import RunProgress
    from agentbench.core import guest

    run = experiment.run
    try:
        with RunProgress(experiment, store) as progress:
            guest.run(_attempts(experiment, store, progress.advance))
    except (KeyboardInterrupt, asyncio.CancelledError):
        store.set_status(run.id, "interrupted")
        typer.echo(f"agentbench: interrupted; continue with: agentbench run --resume {run.id}", err=True)
        raise typer.Exit(130) from None
    except BaseException:  # an agent's SystemExit too: no process is working on the run any more
        if not store.discard_empty(run.id):
            store.set_status(run.id, "interrupted")
        raise
    store.set_status(run.id, "finished")


async def _attempts(experiment: "Experiment", store: "Store", advance: "Callable[[Attempt], None]") -> None:
    from contextlib import aclosing

    from agentbench.run.experiment import perform

    async with aclosing(perform(experiment, store)) as attempts:
        async for attempt in attempts:
            advance(attempt)


def _print(experiment: "Experiment", store: "Store", as_json: bool) -> None:
    from agentbench.cli.runs import print_run

    print_run(store, store.get_run(experiment.run.id), as_json)


def _require_graded(experiment: "Experiment", store: "Store") -> None:
    """Exit code 1 when no attempt has an answer to grade, so that a script does not take it for a result."""
    run = experiment.run
    first = None
    for attempt in store.measured_attempts(run.id):
        if attempt.failure is None:
            return
        first = first or attempt
    if first is None or first.failure is None:
        return
    failure = store.attempt(run.id, first.case_id, first.repeat)
    why = failure.failure if failure and failure.failure else first.failure
    typer.echo(
        f"agentbench: nothing was graded: every attempt failed, the first in {why.kind}: {why.message.splitlines()[0]}"
        f" (agentbench show {run.id} --case {first.case_id})",
        err=True,
    )
    raise typer.Exit(1)
