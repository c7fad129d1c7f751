"""The tables of a benchmark, from its JSON document."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentbench.report import figures
from agentbench.report.terminal import grid
from agentbench.report.terminal_safe import line

Json = Mapping[str, Any]
Column = tuple[str, Callable[[Json], str]]

COMPARED = (
    ("output_tokens_per_s", "Output tokens/s", True),
    ("total_tokens_per_s", "Total tokens/s", True),
    ("requests_per_s", "Requests/s", True),
    ("goodput_per_s", "Goodput/s", True),
    ("ttft_p50_s", "TTFT p50", False),
    ("ttft_p95_s", "TTFT p95", False),
    ("tpot_p50_s", "TPOT p50", False),
    ("tpot_p95_s", "TPOT p95", False),
    ("itl_p50_s", "ITL p50", False),
    ("itl_p99_s", "ITL p99", False),
    ("latency_p50_s", "Latency p50", False),
    ("latency_p95_s", "Latency p95", False),
    ("wall_s", "Wall time", False),
)
"""Key, title, and whether a higher value is better."""

CLIENT_SHARE = 0.1
"""A note warns of a client that uses more than this share of a CPU: it may share its CPUs with the server."""
BUSY_SHARE = 0.25
"""A note warns of a load average above this share of the CPUs before the benchmark."""


def load_report(document: Json, *, piped: bool = False) -> RenderableType:
    """The tables of latency, throughput and ratios, then notes."""
    parts: list[RenderableType] = [_latency_table(document, piped), _rate_table(document, piped)]
    parts += [_ratio_table(document, point, piped) for point in document["points"] if point["ratios"]]
    return Group(*parts, *(Text(line(note), style="dim") for note in notes(document)))


def _latency_table(document: Json, piped: bool) -> Table:
    columns: list[Column] = [
        ("TTFT p50", lambda f: figures.seconds(f["ttft_p50_s"])),
        ("p95", lambda f: figures.seconds(f["ttft_p95_s"])),
        *([("1st token p50", lambda f: figures.seconds(f["first_token_p50_s"]))] if held_text_back(document) else []),
        ("TPOT p50", lambda f: figures.seconds(f["tpot_p50_s"])),
        ("p95", lambda f: figures.seconds(f["tpot_p95_s"])),
        ("ITL p99", lambda f: figures.seconds(f["itl_p99_s"])),
        ("Latency p50", lambda f: figures.seconds(f["latency_p50_s"])),
        ("p95", lambda f: figures.seconds(f["latency_p95_s"])),
        ("Wall", lambda f: figures.seconds(f["wall_s"])),
    ]
    return _table(document, f"{title(document)} · latency", columns, piped)


def held_text_back(document: Json) -> bool:
    """Whether any server counted a first token before it sent visible text. False for older documents, which lack the
    time of the first token."""
    found = [side["figures"] for point in document["points"] for side in point["sides"].values()]
    return any(f.get("first_token_p50_s") not in (None, f["ttft_p50_s"]) for f in found)


def _rate_table(document: Json, piped: bool) -> Table:
    columns: list[Column] = [
        ("OK", answered_requests),
        ("Out tok/s", lambda f: figures.rate(f["output_tokens_per_s"])),
        ("All tok/s", lambda f: figures.rate(f["total_tokens_per_s"])),
        ("Req/s", lambda f: figures.rate(f["requests_per_s"])),
        ("Good/s", lambda f: figures.rate(f["goodput_per_s"]) if document["objectives_s"] else figures.NONE),
        ("Live", lambda f: figures.rate(f["mean_outstanding"])),
        ("Hits", lambda f: figures.percent(f["prefix_hit_share"])),
        ("MBU", lambda f: figures.percent(f["mbu"])),
        ("MFU", lambda f: figures.percent(f["mfu"])),
    ]
    return _table(document, f"{title(document)} · throughput", columns, piped)


def _table(document: Json, heading: str, columns: list[Column], piped: bool) -> Table:
    several = len(document["sides"]) > 1
    table = grid(line(heading), piped=piped)
    table.add_column("Load", style="bold", no_wrap=True)
    if several:
        table.add_column("Side", no_wrap=True)
    for name, _ in columns:
        table.add_column(name, justify="right")
    for point in document["points"]:
        for name, side in point["sides"].items():
            load = point["load"]["label"] + ("*" if side["saturated"] else "")
            shown = [form(side["figures"]) for _, form in columns]
            table.add_row(load, *([Text(line(name))] if several else []), *shown)
    return table


def _ratio_table(document: Json, point: Json, piped: bool) -> Table:
    first = document["sides"][0]["name"]
    table = grid(line(f"{point['load']['label']} · ratios of {first} to the others"), piped=piped)
    table.add_column("", style="bold", no_wrap=True)
    for other in point["ratios"]:
        table.add_column(Text(line(f"{first} / {other}")), justify="right")
    for key, name, more in COMPARED:
        found = [ratios.get(key) for ratios in point["ratios"].values()]
        if any(found):
            table.add_row(name, *(_ratio(each, more) for each in found))
    return table


def _ratio(found: Json | None, more: bool) -> Text:
    """The ratio with its interval. If the interval excludes 1: green where the first side is better, red where it is
    worse."""
    if found is None:
        return Text(figures.NONE)
    low, high = found["low"], found["high"]
    text = f"× {found['ratio']:.3f}"
    if low is None or high is None:
        return Text(text)
    better, worse = (low > 1, high < 1) if more else (high < 1, low > 1)
    style = "bold green" if better else "bold red" if worse else "bold"
    return Text.assemble((text, style), (f"  {low:.3f} to {high:.3f}", "dim"))


def title(document: Json) -> str:
    return f"{document['name']} · {', '.join(models(document))}"


def models(document: Json) -> list[str]:
    """The servers' model names without repetition; for a file path, the file name."""
    names = (str(side["model"]) for side in document["sides"])
    return list(dict.fromkeys(name.rpartition("/")[2] if name.startswith("/") else name for name in names))


def answered_requests(found: Json) -> str:
    return f"{found['answered']}/{found['requests']}"


def notes(document: Json) -> list[str]:
    """Facts that a reader needs to judge the numbers."""
    found = [f"Workload: {document['workload_note']}." if document["workload_note"] else ""]
    for point in document["points"]:
        for name, side in point["sides"].items():
            found += _side_notes(point["load"]["label"], name, side)
    found += [f"{side['name']}: {side['note']}" for side in document["sides"] if side["note"]]
    found += [_goodput_note(document), _busy_note(document)]
    found.append(f"Ended: {document['ended']}.")
    return [note for note in found if note]


def _side_notes(load: str, name: str, side: Json) -> list[str]:
    figure = side["figures"]
    where = f"{load}, {name}"
    found = []
    if side["saturated"]:
        found.append(f"* {where} is saturated: {side['saturated']}.")
    if figure["errors"]:
        kinds = ", ".join(f"{number} {kind}" for kind, number in figure["errors_by_kind"].items())
        found.append(f"{where}: {figure['errors']} of {figure['requests']} requests failed: {kinds}.")
    if figure["retries"]:
        found.append(f"{where}: {figure['retries']} requests were sent again on a new connection.")
    if (figure["client_cpu_share"] or 0) > CLIENT_SHARE:
        found.append(f"{where}: the client itself used {figures.percent(figure['client_cpu_share'])} of a CPU.")
    found += _token_notes(where, figure)
    if figure["prompt_tokens_as_asked"] not in (None, 1.0):
        found.append(
            f"{where}: {figures.percent(figure['prompt_tokens_as_asked'])} of prompts had the requested token count."
        )
    if figure["output_tokens_as_asked"] not in (None, 1.0):
        found.append(
            f"{where}: {figures.percent(figure['output_tokens_as_asked'])} of answers had the requested token count."
        )
    return found


def _token_notes(where: str, figure: Json) -> list[str]:
    """Notes on unknown token counts and times."""
    found = []
    if figure["tokens_assumed"]:
        found.append(f"{where}: the server sent no token counts; each chunk counts as one token.")
    uncounted = {name: figure.get(f"uncounted_{name}") for name in ("prompts", "completions")}
    if missing := ", ".join(f"{count} {name}" for name, count in uncounted.items() if count):
        found.append(f"{where}: {missing} of {figure['answered']} have no token count: their sums are unknown.")
    if unstreamed := figure.get("in_one_piece"):
        found.append(f"{where}: {unstreamed} of {figure['answered']} answers came in one piece: their TTFT is unknown.")
    return found


def _goodput_note(document: Json) -> str:
    limits = document["objectives_s"]
    within = ", ".join(f"{name} ≤ {figures.seconds(limit)}" for name, limit in limits.items())
    return f"Goodput counts answers with {within}." if limits else ""


def _busy_note(document: Json) -> str:
    load, cpus = document.get("load_average"), document["environment"]["cpus"] or 1
    if load is None or load < BUSY_SHARE * cpus:
        return ""
    return f"The machine was busy before the start: load average {load:.2g} on {cpus} CPUs."
