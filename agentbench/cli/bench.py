"""`agentbench bench`: load tests of one server, or of several in turn."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentbench.core.errors import UserError

if TYPE_CHECKING:
    from agentbench.loadtest.plan import LoadPlan
    from agentbench.loadtest.result import BenchResult
    from agentbench.loadtest.roofline import Peak
    from agentbench.loadtest.workloads import WorkloadSpec


def bench_command(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[JSON]...", help="With --from: more stored results.")
    ] = None,
    server: Annotated[
        str, typer.Option(metavar="NAME|URL", help="A server by name (bundled), or a base URL up to and including /v1.")
    ] = "bundled",
    model: Annotated[str | None, typer.Option(help="The model to serve, or to request from a URL.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="serving.KEY=VALUE", help="A knob of --server; may be repeated."),
    ] = None,
    vs: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|URL", help="A server to compare with, measured in turn; may be repeated."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of --server in the report.")] = None,
    vs_name: Annotated[
        list[str] | None, typer.Option("--vs-name", help="The name of a --vs; in the order of --vs.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Measurements of each server at each point. Default: 4 with --vs, else 1.")
    ] = None,
    concurrency: Annotated[
        str | None, typer.Option(metavar="N,…", help="Closed loop: clients at once, each number a point. Default: 1.")
    ] = None,
    rate: Annotated[str | None, typer.Option(metavar="R,…", help="Open loop: requests a second.")] = None,
    arrivals: Annotated[str, typer.Option(help="Open loop: poisson, gamma or constant.")] = "poisson",
    burstiness: Annotated[float, typer.Option(help="Shape of gamma arrivals: 1 is Poisson, less is burstier.")] = 1.0,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Double the load from the first point on until the server is saturated.")
    ] = False,
    requests: Annotated[
        int | None,
        typer.Option(
            min=1, help="Requests of a point. Default: 4 a client, 10 s of arrivals, at least 16; a suite's cases."
        ),
    ] = None,
    duration: Annotated[
        str | None, typer.Option(help="Send for this long (30s, 2m), then wait for the requests in flight.")
    ] = None,
    warmup: Annotated[int, typer.Option(min=0, help="Requests before each measurement that are not counted.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of prompts and arrivals.")] = 0,
    timeout: Annotated[str, typer.Option(help="Limit of one request.")] = "10m",
    workload: Annotated[
        str, typer.Option(metavar="KIND", help="random, shared_prefix, suite:NAME or trace:RUN.")
    ] = "random",
    input_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a random prompt, without its prefix.")] = 256,
    output_tokens: Annotated[int, typer.Option(min=1, help="Tokens of its answer.")] = 64,
    spread: Annotated[float, typer.Option(min=0, max=1, help="Lengths are uniform in (1 ± spread)·n.")] = 0.0,
    prefix_tokens: Annotated[int, typer.Option(min=1, help="shared_prefix: tokens that a group shares.")] = 512,
    groups: Annotated[int, typer.Option(min=1, help="shared_prefix: groups, each with a prefix of its own.")] = 1,
    vocab: Annotated[str, typer.Option(metavar="LOW:HIGH", help="Token ids of random prompts.")] = "1000:30000",
    extra_body: Annotated[str | None, typer.Option(metavar="JSON", help="Fields to add to every request.")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TIME", help="A limit that goodput requires: ttft, tpot or latency; repeatable."),
    ] = None,
    roofline: Annotated[
        bool, typer.Option(help="Measure the machine's bandwidth and FLOP/s first, for MBU and MFU.")
    ] = True,
    peak_bandwidth: Annotated[float | None, typer.Option(help="Use this bandwidth in GB/s instead.")] = None,
    peak_flops: Annotated[float | None, typer.Option(help="Use this rate in GFLOP/s instead.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write everything to this file too.")] = None,
    html_path: Annotated[Path | None, typer.Option("--html", help="Write a self-contained page.")] = None,
    stored: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="JSON", help="Show a stored result instead of measuring; may be repeated."),
    ] = None,
    db: Annotated[str | None, typer.Option(help="trace: the store. Default: AGENTBENCH_DB.")] = None,
) -> None:
    """Measure a server under load: latencies, throughput, goodput, and the share of the machine it uses."""
    results = [*(stored or []), *(files or [])]
    if results and not stored:
        raise UserError(f"unexpected {str(results[0])!r}; stored results are shown with --from {results[0]}")
    _check_page(html_path)
    if results:
        return _show_stored(results, html_path)
    from agentbench.loadtest import options
    from agentbench.loadtest.workloads import WorkloadSpec

    kind, what = options.workload(workload)
    work = WorkloadSpec(
        kind=kind,
        what=what,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        spread=spread,
        prefix_tokens=prefix_tokens,
        groups=groups,
        vocab=options.vocabulary(vocab),
        db=db,
    )
    names = options.side_names(name, vs_name or [], 1 + len(vs or []))
    others = [options.side(label, url, None, []) for label, url in zip(names[1:], vs or [], strict=True)]
    plan = options.plan(
        name=name or names[0],
        sides=(options.side(names[0], server, model, settings or []), *others),
        workload=work,
        concurrencies=options.numbers("--concurrency", concurrency, int),
        rates=options.numbers("--rate", rate, float),
        arrivals=arrivals,
        burstiness=burstiness,
        requests=requests or 0,
        duration=duration,
        warmup=warmup,
        seed=seed,
        rounds=rounds,
        sweep=sweep,
        limits=options.objectives(objective or []),
        timeout=timeout,
        extra_body=options.json_object("--extra-body", extra_body),
    )
    result = _new_result(plan, work)
    result.peak = _peak(roofline, peak_bandwidth, peak_flops)
    _measure(plan, work, result, [path for path in (json_path,) if path], html_path)


def _new_result(plan: "LoadPlan", work: "WorkloadSpec") -> "BenchResult":
    """The empty result, written before anything starts, so that an unwritable path shows at once."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from agentbench.loadtest.result import BenchResult
    from agentbench.run.provenance import provenance

    now = datetime.now(UTC)
    id = f"{now:%Y%m%d-%H%M%S}-{plan.file_name}"
    result = BenchResult(
        id=id,
        path=Path("results") / "bench" / f"{id}.json",
        limits=plan.limits,
        facts={
            "name": plan.name,
            "created_at": now.isoformat(timespec="seconds"),
            "command": ["agentbench", *sys.argv[1:]],
            "plan": plan.to_json(),
            "workload": asdict(work),
            "environment": provenance(Path.cwd()),
            "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        },
    )
    result.save()
    return result


def _peak(wanted: bool, bandwidth: float | None, flops: float | None) -> "Peak | None":
    from agentbench.loadtest.roofline import Peak, measure_peak

    if bandwidth or flops:
        limits = (None if each is None else each * 1e9 for each in (bandwidth, flops))
        return Peak(bytes_per_s=next(limits), flop_per_s=next(limits), source="given")
    if not wanted:
        return None
    _tell("measuring the machine's bandwidth and FLOP/s")
    return measure_peak()


def _check_page(html_path: Path | None) -> None:
    """`UserError`, before anything is measured, when no HTML page could be written."""
    if html_path is not None:
        from agentbench.report.html import check_installed

        check_installed()


def _measure(
    plan: "LoadPlan", work: "WorkloadSpec", result: "BenchResult", copies: list[Path], html_path: Path | None
) -> None:
    """Runs the benchmark; however it ends, its measurements are written."""
    import asyncio

    from agentbench.core import guest
    from agentbench.loadtest.bench import run_bench
    from agentbench.loadtest.result import write_json

    interrupted = False
    try:
        guest.run(run_bench(plan, work.make, work.forms, result, _tell))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
    except UserError:
        if not result.points:
            result.path.unlink(missing_ok=True)
        raise
    finally:
        if result.points:
            result.save()
    document = result.to_json()
    for path in copies:
        write_json(path, document)
    _show([document], html_path)
    typer.echo(f"stored: {result.path}", err=True)
    if interrupted:
        typer.echo("agentbench: interrupted; what was measured until then is stored", err=True)
        raise typer.Exit(130)
    if dead := result.unanswered():
        typer.echo(f"agentbench: no request was answered by {dead}", err=True)
        raise typer.Exit(1)


def _show_stored(paths: list[Path], html_path: Path | None) -> None:
    from agentbench.loadtest.result import read_json

    _show([read_json(path) for path in paths], html_path)


def _show(documents: list[dict[str, Any]], html_path: Path | None) -> None:
    from agentbench.report.bench.table import load_report
    from agentbench.report.terminal import console

    out = console()
    for document in documents:
        out.print(load_report(document, piped=not out.is_terminal))
    if html_path is not None:
        from agentbench.report.bench.page import write_page

        write_page(html_path, documents)
        typer.echo(f"page: {html_path}", err=True)


def _tell(line: str) -> None:
    """Prints progress, on a terminal only."""
    if sys.stderr.isatty():
        typer.echo(line, err=True)
