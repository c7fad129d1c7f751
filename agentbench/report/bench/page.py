"""Benchmarks as one HTML file that works offline, from their JSON files."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentbench.report.bench.charts import (
    SECONDS,
    SHARE,
    TOKEN_RATE,
    Axis,
    Roofline,
    Series,
    line_chart,
    plain,
    roofline,
)
from agentbench.report.bench.table import COMPARED, held_text_back, models, notes
from agentbench.report.html import COLOURS, Chart, Html, Page, chart_places, html_of, render, write_html

Json = Mapping[str, Any]
Place = list[str | int]

AXES = {"closed": "clients at once (closed loop)", "open": "requests per second offered (open loop)"}


@dataclass(frozen=True, slots=True)
class Curve:
    """A side of a benchmark over its loads. Each curve has its own colour."""

    name: str
    kind: str
    points: tuple[tuple[float, str, Json], ...]  # load, its label, figures


def write_page(path: Path, documents: Sequence[Json]) -> None:
    """Writes the page atomically. `UserError` when it can't be written."""
    write_html(path, html_of(load_page(documents)))


def load_page(documents: Sequence[Json]) -> Page:
    """Charts of all benchmarks, then the ratios, roofline, metrics, notes, command and machine of each."""
    names = ", ".join(dict.fromkeys(document["name"] for document in documents))
    curves = _curves(documents)
    over_loads = {kind: dict(_charts(kind, curves)) for kind in AXES if any(each.kind == kind for each in curves)}
    roofs = [roofline(document) for document in documents]
    roof_charts = {f"roofline_{place}": roof.chart for place, roof in enumerate(roofs) if roof}
    body = render(
        "bench.html",
        names=names,
        models=", ".join(dict.fromkeys(name for document in documents for name in models(document))),
        curves=[{"names": _names(kind, curves), "charts": chart_places(charts)} for kind, charts in over_loads.items()],
        results=[
            _result(place, document, roof) for place, (document, roof) in enumerate(zip(documents, roofs, strict=True))
        ],
    )
    charts = {name: chart for found in over_loads.values() for name, chart in found.items()}
    return Page(title=names, body=Html(body), charts={**charts, **roof_charts})


def _curves(documents: Sequence[Json]) -> list[Curve]:
    found = []
    for document in documents:
        for side in document["sides"]:
            name = side["name"] if len(documents) == 1 else f"{document['name']} · {side['name']}"
            points = [point for point in document["points"] if side["name"] in point["sides"]]
            for kind in dict.fromkeys(point["load"]["kind"] for point in points):
                loads = tuple(_load(point, side["name"]) for point in points if point["load"]["kind"] == kind)
                found.append(Curve(name, kind, loads))
    return found


def _load(point: Json, side: str) -> tuple[float, str, Json]:
    load = point["load"]
    return float(load.get("concurrency") or load.get("rate") or 0), load["label"], point["sides"][side]["figures"]


def _of_kind(kind: str, curves: Sequence[Curve]) -> list[tuple[int, Curve]]:
    """The curves of a kind of load, each with its index on the page, which sets its colour."""
    return [(index, curve) for index, curve in enumerate(curves) if curve.kind == kind]


def _names(kind: str, curves: Sequence[Curve]) -> list[tuple[int, str]]:
    return [(index % len(COLOURS), curve.name) for index, curve in _of_kind(kind, curves)]


AGAINST_LOAD: tuple[tuple[str, str, Axis, tuple[str, ...]], ...] = (
    ("tokens", "Output tokens per second", TOKEN_RATE, ("output_tokens_per_s",)),
    ("ttft", "Time to first token", SECONDS, ("ttft_p50_s", "ttft_p95_s")),
    ("tpot", "Time per output token", SECONDS, ("tpot_p50_s", "tpot_p95_s")),
    ("mbu", "Model bandwidth utilization (MBU)", SHARE, ("mbu",)),
    ("mfu", "Model FLOP/s utilization (MFU)", SHARE, ("mfu",)),
)
"""Name, caption, y axis and keys of each chart over the loads."""


def _charts(kind: str, curves: Sequence[Curve]) -> Iterator[tuple[str, Chart]]:
    """The charts of a kind of load. A recorded workload has none: its load is not a number."""
    chosen = _of_kind(kind, curves)
    series = [
        _series(index, curve, key, "output_tokens_per_s")
        for index, curve in chosen
        for key in ("latency_p50_s", "latency_p95_s")
    ]
    yield f"{kind}_latency", line_chart("Throughput against latency", series, TOKEN_RATE, SECONDS)
    loads = [load for _, curve in chosen for load, _, _ in curve.points]
    has_peak = any(found["mbu"] is not None for _, curve in chosen for _, _, found in curve.points)
    for name, caption, axis, keys in AGAINST_LOAD:
        if axis is SHARE and not has_peak:
            continue
        series = [_series(index, curve, key) for index, curve in chosen for key in keys]
        over = Axis(title=AXES[kind], form=plain)
        yield f"{kind}_{name}", line_chart(caption, series, over, axis, loads=loads)


def _series(index: int, curve: Curve, key: str, x: str | None = None) -> Series:
    """A metric over the loads, or over the metric `x`. Loads without a value are left out."""
    values = [(found[x] if x else load, found[key], label) for load, label, found in curve.points]
    points = tuple((a, b, label) for a, b, label in values if a is not None and b is not None)
    return Series(name=f"{curve.name}, {key.removesuffix('_s')}", points=points, colour=index, dashed="_p95" in key)


def _result(place: int, document: Json, roof: Roofline | None) -> dict[str, Any]:
    """The template's values for one benchmark."""
    held_back = held_text_back(document)
    return {
        "document": document,
        "models": ", ".join(models(document)),
        "ratios": _ratios(document),
        "roofline": roof
        and {"names": roof.names, "bounds": roof.bounds, "place": chart_places({f"roofline_{place}": roof.chart})},
        "columns": _columns(document),
        "rows": [row for row in ROWS if held_back or not row[1].startswith("first_token")],
        "notes": notes(document),
        "command": shlex.join(document["command"]),
        "facts": _facts(document),
    }


def _ratios(document: Json) -> dict[str, Any]:
    """A column for each pair of a load and a side other than the first. A cell has the path of its ratio in the
    document and its CSS class."""
    columns = [(place, point, other) for place, point in enumerate(document["points"]) for other in point["ratios"]]
    return {
        "columns": [(point["load"]["label"], other) for _, point, other in columns],
        "rows": [
            (name, [_ratio(place, point["ratios"][other], other, key, more) for place, point, other in columns])
            for key, name, more in COMPARED
            if any(key in point["ratios"][other] for _, point, other in columns)
        ],
    }


def _ratio(place: int, ratios: Json, other: str, key: str, more: bool) -> tuple[Place | None, str]:
    """The ratio's path, and "good" or "bad" where its interval excludes 1; no path where there is no ratio."""
    if key not in ratios:
        return None, ""
    low, high = ratios[key]["low"], ratios[key]["high"]
    path: Place = ["points", place, "ratios", other, key]
    if low is None or high is None or low <= 1 <= high:
        return path, ""
    return path, "good" if (low > 1) == more else "bad"


ROWS: tuple[tuple[str, str, str], ...] = (
    *((f"TTFT p{q}", f"ttft_p{q}_s", "seconds") for q in (50, 90, 95, 99)),
    *((f"first token p{q}", f"first_token_p{q}_s", "seconds") for q in (50, 95)),
    ("from intent p95", "ttft_from_intent_p95_s", "seconds"),
    *((f"TPOT p{q}", f"tpot_p{q}_s", "seconds") for q in (50, 90, 95, 99)),
    *((f"ITL p{q}", f"itl_p{q}_s", "seconds") for q in (50, 99)),
    *((f"latency p{q}", f"latency_p{q}_s", "seconds") for q in (50, 95, 99)),
    ("out tok/s", "output_tokens_per_s", "rate"),
    ("all tok/s", "total_tokens_per_s", "rate"),
    ("req/s", "requests_per_s", "rate"),
    ("goodput/s", "goodput_per_s", "rate"),
    ("in flight", "mean_outstanding", "rate"),
    ("most", "most_outstanding", "count"),
    ("prefix hits", "prefix_hit_share", "percent"),
    ("MBU", "mbu", "percent"),
    ("MFU", "mfu", "percent"),
    ("wall", "wall_s", "seconds"),
    ("client CPU", "client_cpu_share", "percent"),
)
"""Title, key and form of each row."""


def _columns(document: Json) -> list[dict[str, Any]]:
    """The table's columns: one for each load and side. The rows are metrics."""
    return [
        {
            "at": ["points", place, "sides", name, "figures"],
            "load": point["load"]["label"] + (" *" if side["saturated"] else ""),
            "side": name,
        }
        for place, point in enumerate(document["points"])
        for name, side in point["sides"].items()
    ]


def _facts(document: Json) -> list[tuple[str, str]]:
    machine, peak = document["environment"], document["peak"] or {}
    rows = [
        ("machine", f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['platform']}"),
        ("versions", ", ".join(f"{name} {found}" for name, found in machine["versions"].items())),
        ("Python", machine["python"]),
        ("commit", f"{machine['git_commit'][:12]}{' with changes' if machine['git_dirty'] else ''}"),
        ("peak", _peak(peak)),
        *((f"server {side['name']}", _server(side)) for side in document["sides"]),
    ]
    return [(name, value) for name, value in rows if value]


def _peak(peak: Json) -> str:
    if not peak:
        return "not measured"
    bandwidth, flop = peak["bytes_per_s"], peak["flop_per_s"]
    parts = [f"{bandwidth / 1e9:.1f} GB/s read" if bandwidth else "", f"{flop / 1e9:.0f} GFLOP/s" if flop else ""]
    return f"{', '.join(part for part in parts if part)} ({peak['dtype']}, {peak['source']})"


def _server(side: Json) -> str:
    knobs = ", ".join(f"{key}={value}" for key, value in side["server"].items() if key != "name")
    return f"{side['server']['name']} {side['model']}{f' ({knobs})' if knobs else ''} at {side['base_url']}"
