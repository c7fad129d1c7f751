"""`agentbench baseline`: the runs that later runs are compared with."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.cli.runs import AsJson, Db
from agentbench.core.errors import UserError

if TYPE_CHECKING:
    from agentbench.core.run import Run
    from agentbench.store import Store

baseline_app = typer.Typer(
    help="Save, promote, list and show baselines: runs that later runs are compared with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="The baseline's name: letters, digits, dots, dashes.")]
Reference = Annotated[str, typer.Argument(metavar="RUN", help="Id, its start or end, label, LABEL~N or latest~N.")]
Directory = Annotated[Path, typer.Option("--dir", help="The directory of the baseline files.")]
InStore = Annotated[bool, typer.Option("--in-store", help="Save the name in the store; write no file.")]
DEFAULT_DIRECTORY = Path("results/baselines")


@baseline_app.command("save")
def save(
    name: Name,
    run: Reference,
    force: Annotated[bool, typer.Option(help="Save an incomplete run too.")] = False,
    in_store: InStore = False,
    directory: Directory = DEFAULT_DIRECTORY,
    db: Db = None,
) -> None:
    """Make a run the baseline NAME of its suite; refuses one that is not complete, or is a rerun."""
    _check_name(name)
    from agentbench.gate.judge import incomplete
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        found = store.get_run(run)
        if not force and (why := incomplete(found, store)):
            raise UserError(f"run {found.id} is not saved: {why}. Save it all the same with --force.")
        typer.echo(_save(name, found, store, in_store, directory))


@baseline_app.command("promote")
def promote(
    name: Name,
    run: Reference,
    force: Annotated[
        bool,
        typer.Option(help="Promote a run too that fails its gate, is not of the whole suite, or is not committed."),
    ] = False,
    in_store: InStore = False,
    directory: Directory = DEFAULT_DIRECTORY,
    db: Db = None,
) -> None:
    """As save, for a run on the main branch: refuses one that fails its gate or is worse than the baseline NAME, that
    is not of the whole suite, or that ran with anything that is not committed."""
    _check_name(name)
    from agentbench.gate.judge import unfit
    from agentbench.store import open_store

    with open_store(db, create=False) as store:
        found = store.get_run(run)
        if not force and (why := unfit(found, name, store, directory)):
            raise UserError(f"run {found.id} is not promoted: {why}. Promote it all the same with --force.")
        typer.echo(_save(name, found, store, in_store, directory))


def _check_name(name: str) -> None:
    import re

    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"baseline name {name!r}: use letters, digits, dots and dashes, for example main")


def _save(name: str, run: "Run", store: "Store", in_store: bool, directory: Path) -> str:
    from agentbench.gate.baseline import baseline_file, baseline_of, write_baseline

    if not store.verdicts(run.id):
        raise UserError(f"run {run.id} has no attempts; a baseline needs some")
    baseline = baseline_of(name, run, store)
    part = f", a part: {baseline.cases} of {run.suite_cases} cases" if baseline.cases < run.suite_cases else ""
    file = baseline_file(name, run.suite, directory)
    if in_store:
        store.set_baseline(run.suite, name, run.id)
        hidden = (
            f"; but gates use the file {file} with the same name instead: remove one of the two"
            if file.is_file()
            else ""
        )
        return f"baseline {name} of {run.suite} is run {run.id}, in the store{part}{hidden}"
    if not write_baseline(baseline, file):
        return f"baseline {name} of {run.suite} is unchanged: run {run.id} has the answers that are in {file}{part}"
    return f"baseline {name} of {run.suite} is run {run.id}, in {file}{part}"


@baseline_app.command("list")
def list_baselines(directory: Directory = DEFAULT_DIRECTORY, as_json: AsJson = False, db: Db = None) -> None:
    """List baselines: files, and those named in the store."""
    from agentbench.gate.baseline import read_baseline
    from agentbench.store import open_store

    rows = []
    for file in sorted(directory.glob("*/*.json")):
        found = read_baseline(file)
        rows.append({"suite": found.suite, "name": found.name, "run": found.run_id, "where": str(file)})
    with open_store(db) as store:
        for (suite, name), run_id in store.baselines().items():
            rows.append({"suite": suite, "name": name, "run": run_id, "where": "store"})
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['suite']}  {row['name']}  {row['run']}  {row['where']}")
    if not rows:
        typer.echo("No baselines yet: agentbench baseline save NAME RUN.")


@baseline_app.command("show")
def show(
    name: Name,
    suite: Annotated[str | None, typer.Option(help="The suite, if several have a baseline of this name.")] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Show what a baseline holds, and in the store which runs it was before."""
    from agentbench.gate.baseline import named_baseline
    from agentbench.store import open_store

    with open_store(db) as store:
        found, where = named_baseline(name, suite, store, directory)
        before = store.superseded_baselines(found.suite, name)
    right = sum(outcome.passed is True for outcome in found.outcomes)
    facts = {
        "suite": found.suite,
        "name": name,
        "where": where,
        "run": found.run_id,
        "commit": found.commit,
        "branch": found.branch,
        "cases": found.cases,
        "suite_cases": found.suite_cases,
        "attempts_right": right,
        "attempts": len(found.outcomes),
        "before": [{"run": run_id, "since": since.isoformat()} for run_id, since in before],
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key in ("suite", "name", "where", "run", "commit", "branch"):
        typer.echo(f"{key:<8}  {facts[key]}")
    part = f" of {found.suite_cases}" if found.cases < found.suite_cases else ""
    typer.echo(f"{'cases':<8}  {found.cases}{part}")
    typer.echo(f"{'right':<8}  {right} of {len(found.outcomes)} attempts")
    for run_id, since in before:
        typer.echo(f"{'before':<8}  {run_id}, from {since:%Y-%m-%d %H:%M} UTC")
