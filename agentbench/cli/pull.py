"""`agentbench pull`: models and data sets into the cache."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentbench.hub import Artifact


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
    from rich.console import Console

    from agentbench.hub import pull
    from agentbench.hub.hugging_face import pull_snapshot

    console = Console(stderr=True)
    with console.status(f"pulling {name}") as status:

        def report(stage: str, done: int) -> None:
            status.update(f"pulling {name}: {stage}, {done / 1e6:.1f} MB")

        path = pull_snapshot(name) if name.startswith("hf:") else pull(name, progress=report, accept_licence=True)
    typer.echo(f"{name}: {path}")
