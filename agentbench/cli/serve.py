"""`agentbench serve` starts the bundled server; `agentbench ui` shows the store in a browser."""

from typing import Annotated

import typer

from agentbench.cli.review import Reviewer
from agentbench.cli.runs import Db
from agentbench.core.errors import UserError


def serve_command(
    model: Annotated[
        str, typer.Option("--model", "-m", help="A pulled model's name, a .gguf file, or a directory.")
    ] = "smollm2-135m-instruct",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None, typer.Option("--api-key", metavar="KEY|@FILE", help="Clients must send it as a bearer token.")
    ] = None,
    open_access: Annotated[
        bool, typer.Option("--open-access", help="Allow everyone without a key, also on a --host that others reach.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="serving.KEY=VALUE", help="An engine knob; may be repeated."),
    ] = None,
) -> None:
    """Serve a model over an OpenAI-compatible HTTP API until interrupted."""
    import os
    import sys

    from agentbench.hub import resolve_model, served_name

    knobs = [part for setting in settings or [] for part in ("--set", _knob(setting))]
    path = resolve_model(model)
    command = [sys.executable, "-m", "serving", "--model", str(path), "--served-model-name", served_name(model)]
    access = [*(("--api-key", api_key) if api_key else ()), *(("--open-access", "true") if open_access else ())]
    os.execv(sys.executable, [*command, "--host", host, "--port", str(port), *access, *knobs])


def _knob(setting: str) -> str:
    path, separator, value = setting.partition("=")
    if not separator:
        raise UserError(f"--set {setting!r}: expected serving.KEY=VALUE, for example serving.max_num_seqs=8")
    return f"{path.removeprefix('serving.')}={value}"


def ui_command(
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other than loopback requires a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    review: Annotated[
        bool, typer.Option("--review", help="Let visitors label attempts, tag runs and write notes.")
    ] = False,
    reviewer: Reviewer = None,
    token: Annotated[str | None, typer.Option(help="Require this token; generated if --host is not loopback.")] = None,
    db: Db = None,
) -> None:
    """Show runs, studies and transcripts in a browser; with --review, label attempts there."""
    from agentbench.cli.review import reviewer_named
    from agentbench.store import open_store
    from agentbench.web.app import Listening, serve

    name = reviewer_named(reviewer) if review else None
    with open_store(db, create=False) as store:
        serve(store, db, Listening(host=host, port=port, token=token), reviewer=name)
