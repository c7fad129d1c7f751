"""`agentbench probe` asks a server for each part of OpenAI's API and shows which ones hold."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.cli.runs import AsJson

if TYPE_CHECKING:
    from agentbench.loadtest.probe import Finding
    from agentbench.loadtest.target_server import TargetSpec

MARKS = {True: "yes", False: "no", None: "-"}


def probe_command(
    target: Annotated[
        str, typer.Argument(metavar="MODEL|URL", help="A model for the bundled server, or a base URL up to /v1.")
    ],
    model: Annotated[
        str | None, typer.Option(help="The model to request from a URL. Default: the one it serves.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="serving.KEY=VALUE", help="A knob of the server; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find out which parts of OpenAI's API a server and its model get right: tools, schemas, counts, reasoning."""
    import asyncio

    from agentbench.loadtest.options import side

    is_url = target.startswith(("http://", "https://"))
    spec = side("probe", target if is_url else "bundled", model if is_url else target, settings or [])
    served, findings = asyncio.run(_probed(spec))
    if as_json:
        document = {"target": target, "model": served, "checks": [finding.to_json() for finding in findings]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    _show(served, findings)


async def _probed(spec: "TargetSpec") -> tuple[str, list["Finding"]]:
    from agentbench.loadtest.probe import probe
    from agentbench.run.model_server import LOGS, opened_backend, running
    from agentbench.suite import registry
    from agentbench.suite.config import Component

    server = registry.build("servers", spec.server, prefix=("serving",))
    async with (
        running(server, LOGS / "probe.server.log") as endpoint,
        opened_backend(Component(name="openai_http"), endpoint) as backend,
    ):
        findings = []
        async for finding in probe(backend):
            findings.append(finding)
            typer.echo(f"agentbench: {finding.name}: {MARKS[finding.holds]}", err=True)
        return endpoint.model, findings


def _show(served: str, findings: list["Finding"]) -> None:
    from agentbench.report.terminal import console, grid
    from agentbench.report.terminal_safe import line

    out = console()
    table = grid(f"{line(served)}: {_summary(findings)}", piped=not out.is_terminal)
    for column in ("check", "asks for", "holds", "seen"):
        table.add_column(column)
    for finding in findings:
        table.add_row(finding.name, finding.asks, MARKS[finding.holds], line(finding.seen))
    out.print(table)


def _summary(findings: list["Finding"]) -> str:
    shown = [finding for finding in findings if finding.holds is not None]
    return f"{sum(bool(finding.holds) for finding in shown)} of {len(shown)} hold"
