"""The `agentbench` command: its subcommands, and how mistakes are reported."""

import os
import sys
from contextlib import suppress
from importlib.metadata import entry_points
from typing import Annotated

import typer

from agentbench.cli.baseline import baseline_app
from agentbench.cli.bench import bench_command
from agentbench.cli.compare import compare_command, gate_command, power_command
from agentbench.cli.export import export_command, import_command
from agentbench.cli.models import models_command, pull_command
from agentbench.cli.probe import probe_command
from agentbench.cli.review import agreement_command, label_command, review_command
from agentbench.cli.run import run_command
from agentbench.cli.runs import report_command, runs_command, show_command
from agentbench.cli.serve import serve_command, ui_command
from agentbench.cli.setup import doctor_command, init_command
from agentbench.core.errors import UserError
from agentbench.version import __version__

GRACE_S = 5.0
"""How long threads that are left at the end may take to return."""

app = typer.Typer(
    name="agentbench",
    help="Test, evaluate and tune LLM agents together with the model server under them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init")(init_command)
app.command("pull")(pull_command)
app.command("models")(models_command)
app.command("serve")(serve_command)
app.command("run")(run_command)
app.command("bench")(bench_command)
app.command("probe")(probe_command)
app.command("runs")(runs_command)
app.command("show")(show_command)
app.command("compare")(compare_command)
app.command("report")(report_command)
app.command("ui")(ui_command)
app.command("review")(review_command)
app.command("label")(label_command)
app.command("agreement")(agreement_command)
app.command("gate")(gate_command)
app.add_typer(baseline_app, name="baseline")
app.command("power")(power_command)
app.command("export")(export_command)
app.command("import")(import_command)
app.command("doctor")(doctor_command)
for found in entry_points(group="agentbench.commands"):
    app.command(found.name)(found.load())


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Test, evaluate and tune LLM agents together with the model server under them."""


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"agentbench: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as leaving:
        _end_with(leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None))
        raise


def _end_with(code: int) -> None:
    """Exits with the code, after a grace period for threads: an agent's thread that never returns can't hold it."""
    import threading

    def end() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)

    if threading.active_count() > 1:
        timer = threading.Timer(GRACE_S, end)
        timer.daemon = True
        timer.start()
