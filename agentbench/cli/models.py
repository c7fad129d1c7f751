"""`agentbench pull` downloads models and data sets to the cache; `agentbench models` lists them with their results."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentbench.cli.runs import AsJson, Db

if TYPE_CHECKING:
    from agentbench.hub import Artifact
    from agentbench.store import Store


def pull_command(
    names: Annotated[list[str], typer.Argument(help="Known names (agentbench doctor lists them), or hf:owner/name.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept a model's terms of use without being asked.")
    ] = False,
) -> None:
    """Pull models and data sets: fetched once, verified by SHA-256, used offline from then on."""
    from agentbench.hub.cache import artifact_path
    from agentbench.hub.pull import find

    artifacts = [find(name) for name in names if not name.startswith("hf:")]
    for artifact in artifacts:
        if artifact.terms and not accept_licence and not artifact_path(artifact).is_file():
            _ask(artifact)
    for name in names:
        _pull(name)


def _ask(artifact: "Artifact") -> None:
    from agentbench.hub.pull import terms_not_accepted

    if not _at_terminal():
        raise terms_not_accepted(artifact)
    question = f"{artifact.name} comes under {artifact.licence}: {artifact.terms}\nDo you accept them?"
    typer.confirm(question, abort=True, err=True)


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _pull(name: str) -> None:
    from agentbench.hub.sources import pull_snapshot

    path = pull_snapshot(name) if name.startswith("hf:") else _pulled(name)
    typer.echo(f"{name}: {path}")


def _pulled(name: str) -> Path:
    """Pulls an artifact. When it is downloaded, shows its licence in a line, and one progress bar for all its parts."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from agentbench.hub import pull
    from agentbench.hub.cache import artifact_path
    from agentbench.hub.pull import find

    artifact = find(name)
    if artifact_path(artifact).is_file():
        return pull(name)
    typer.echo(f"{name}: {megabytes(artifact.bytes)}, licence {artifact.licence}", err=True)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"fetching {name}", total=artifact.bytes)

        def report(stage: str, done: int) -> None:
            # The download consists of packages, which may be somewhat larger than their content.
            progress.update(task, description=stage, completed=min(done, artifact.bytes))

        return pull(name, progress=report, accept_licence=True)


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e6:.1f} MB"


NEWEST = 200
"""Runs in which a model's quality is looked for."""


def models_command(as_json: AsJson = False, db: Db = None) -> None:
    """List the models known by name: size, licence, what is pulled, and their accuracy in the store's newest runs."""
    from agentbench.hub import CATALOG

    models = [artifact for _, artifact in sorted(CATALOG.items()) if artifact.kind == "model"]
    measured = _measured(db)
    found = [_facts(artifact, measured) for artifact in models]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from agentbench.report import figures
    from agentbench.report.terminal import console, grid

    out = console()
    table = grid("Models", piped=not out.is_terminal)
    table.add_column("Model", no_wrap=True)
    for name in ("Size", "Licence", "Pulled", "Architecture"):
        table.add_column(name, justify="right" if name == "Size" else "left", no_wrap=name == "Size")
    table.add_column("Context", justify="right")
    table.add_column("Tool calls")
    table.add_column("Newest runs")
    for each in found:
        runs = (f"{suite} {figures.percent(of['accuracy'])} of {of['cases']}" for suite, of in each["runs"].items())
        facts = (megabytes(each["bytes"]), each["licence"], "yes" if each["pulled"] else "no", each["architecture"])
        table.add_row(
            each["name"], *facts, f"{each['context']:,}", each["tool_format"], "\n".join(runs) or figures.NONE
        )
    out.print(table)


def _facts(artifact: "Artifact", measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    from agentbench.hub.cache import artifact_path

    return {
        "name": artifact.name,
        "bytes": artifact.bytes,
        "licence": artifact.licence,
        "pulled": artifact_path(artifact).is_file(),
        "architecture": artifact.architecture,
        "context": artifact.context,
        "tool_format": artifact.tool_format,
        "runs": measured.get(artifact.name, {}),
    }


def _measured(db: str | None) -> dict[str, dict[str, Any]]:
    """The newest finished run by the bundled server for each model and suite; none without a store."""
    from agentbench.core.errors import UserError
    from agentbench.store import open_store

    try:
        with open_store(db, create=False) as store:
            return _newest(store)
    except UserError:
        if db is not None:
            raise
        return {}


def _newest(store: "Store") -> dict[str, dict[str, Any]]:
    from agentbench.servers.bundled import BundledConfig

    default = BundledConfig().model
    found: dict[str, dict[str, Any]] = {}
    for summary in store.list_runs(NEWEST):
        graded = summary.passed + summary.wrong
        if summary.status != "finished" or summary.kind != "suite" or not graded:
            continue
        config = store.get_run(summary.id).config
        serving = config.get("serving", {})
        if config.get("backend", {}).get("name") == "scripted" or serving.get("server", "bundled") != "bundled":
            continue
        accuracy = {"run": summary.id, "accuracy": summary.passed / graded, "cases": graded}
        found.setdefault(serving.get("model", default), {}).setdefault(summary.suite, accuracy)
    return found
