"""`agentbench gate`: a stored run before its gate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentbench.cli.runs import AsJson, Db
from agentbench.errors import UserError

if TYPE_CHECKING:
    from agentbench.gating import Gating
    from agentbench.store import Store


def gate_command(
    run: Annotated[str, typer.Argument(help="The run: id, its start or end, label, LABEL~N or latest~N.")],
    baseline: Annotated[str | None, typer.Option(help="A baseline's name, or a run, to hold it against.")] = None,
    min_pass_rate: Annotated[float | None, typer.Option(min=0, max=1, help="Least pass rate (a fraction).")] = None,
    min_pass_hat_k: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Least pass^k of the run's k repeats (a fraction)."),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(min=0, max=1, help="Ask for non-inferiority: at most so much worse (a fraction).")
    ] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE=LIMIT", help="A limit such as ttft_p95=500ms or goodput=2; may be repeated."),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Add the verdict to this file, as Markdown.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Judge a run by its suite's gate; exit code 0 when it passes, 1 when it does not."""
    from agentbench.gating import gate_options, judge
    from agentbench.report.gate_text import gate_lines, verdict_line
    from agentbench.store import open_store

    given = {"baseline": baseline, "min_pass_rate": min_pass_rate, "min_pass_hat_k": min_pass_hat_k, "margin": margin}
    changes: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    if margin is not None:
        changes["test"] = "non_inferiority"
    if slo:
        changes["slo"] = dict(_limit(each) for each in slo)
    with open_store(db, create=False) as store:
        found = store.get_run(run)
        gating = judge(store, found, gate_options(found, **changes))
        if markdown is not None:
            _append(markdown, gating, store)
    if as_json:
        typer.echo(json.dumps(gating.to_json(), indent=2, default=str))
    else:
        typer.echo("\n".join(gate_lines(gating)))
        typer.echo(verdict_line(gating))
    if not gating.verdict.passed:
        raise typer.Exit(1)


def _limit(text: str) -> tuple[str, str]:
    name, separator, limit = text.partition("=")
    if not separator:
        raise UserError(f"--slo {text!r}: expected FIGURE=LIMIT, for example ttft_p95=500ms")
    return name, limit


def _append(file: Path, gating: "Gating", store: "Store") -> None:
    from agentbench.report.gate_summary import summary_markdown

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.write(summary_markdown(gating, store) + "\n")
