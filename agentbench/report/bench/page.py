"""A page of benchmarks: one HTML file that works offline, from what is stored of them."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentbench.report import figures
from agentbench.report.bench.charts import Series, line_chart, roofline
from agentbench.report.bench.table import COMPARED, held_text_back, models, notes
from agentbench.report.html import Html, Page, html_of, text, write_html
from agentbench.report.traced_number import at, datum

Json = Mapping[str, Any]
Place = tuple[str | int, ...]

AXES = {"closed": "clients at once (closed loop)", "open": "requests per second offered (open loop)"}


@dataclass(frozen=True, slots=True)
class Curve:
    """A side of a benchmark over its loads: what a colour stands for."""

    name: str
    kind: str
    points: tuple[tuple[float, str, Json], ...]  # load, its label, figures


def write_page(path: Path, documents: Sequence[Json]) -> None:
    """Whole or not at all. `UserError` when it can't be written."""
    write_html(path, html_of(load_page(documents)))


def load_page(documents: Sequence[Json]) -> Page:
    """Charts of all, then each with its ratios, figures, notes, command and machine."""
    names = ", ".join(dict.fromkeys(document["name"] for document in documents))
    served = ", ".join(dict.fromkeys(name for document in documents for name in models(document)))
    body = [
        f"<h1>{text(names)}</h1>",
        f'<p class="sub">{text(served)} · agentbench bench</p>',
        *_charts(_curves(documents)),
        *(part for place, document in enumerate(documents) for part in _document(place, document)),
    ]
    return Page(title=names, body=Html("".join(body)))


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


def _charts(curves: Sequence[Curve]) -> list[str]:
    """A set for each kind of load; a recorded one has no axis to stand on."""
    parts = []
    for kind, title in AXES.items():
        chosen = [(index, curve) for index, curve in enumerate(curves) if curve.kind == kind]
        if chosen:
            legend = "".join(f'<span><i class="c{index % 6}"></i>{text(curve.name)}</span>' for index, curve in chosen)
            parts.append(f'<div class="legend">{legend}<span class="key">solid p50, dashed p95</span></div>')
            parts.append(f'<section class="charts">{"".join(_chart_set(chosen, title))}</section>')
    return parts


def _chart_set(curves: Sequence[tuple[int, Curve]], axis: str) -> list[str]:
    def against_load(name: str, form: Callable[[float], str], *keys: str) -> str:
        series = [_series(index, curve, lambda load, found: load, key) for index, curve in curves for key in keys]
        return _figure(name, line_chart(series, x_title=axis, x_form=_plain, y_form=form, doubling=True))

    curve = [
        _series(index, each, lambda load, found: found["output_tokens_per_s"], key)
        for index, each in curves
        for key in ("latency_p50_s", "latency_p95_s")
    ]
    found = [
        _figure(
            "Throughput against latency",
            line_chart(curve, x_title="output tokens per second", x_form=figures.rate, y_form=figures.seconds),
        ),
        against_load("Output tokens per second", figures.rate, "output_tokens_per_s"),
        against_load("Time to first token", figures.seconds, "ttft_p50_s", "ttft_p95_s"),
        against_load("Time per output token", figures.seconds, "tpot_p50_s", "tpot_p95_s"),
    ]
    if any(found["mbu"] is not None for _, each in curves for _, _, found in each.points):
        found.append(against_load("Model bandwidth utilization (MBU)", _share, "mbu"))
        found.append(against_load("Model FLOP/s utilization (MFU)", _share, "mfu"))
    return found


def _series(index: int, curve: Curve, x: Callable[[float, Json], float | None], key: str) -> Series:
    points = [(x(load, found), found[key], label) for load, label, found in curve.points]
    known = tuple((a, b, label) for a, b, label in points if a is not None and b is not None)
    return Series(name=f"{curve.name}, {key.removesuffix('_s')}", points=known, colour=index, dashed="_p95" in key)


def _figure(title: str, chart: str) -> str:
    return f"<figure><figcaption>{text(title)}</figcaption>{chart}</figure>"


def _plain(value: float) -> str:
    return f"{value:g}"


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _document(place: int, document: Json) -> list[str]:
    return [
        f'<section data-document="bench" data-run="{place}">',
        f"<h2>{text(document['name'])}</h2>",
        f'<p class="sub">{text(document["created_at"])} · {text(", ".join(models(document)))}</p>',
        _ratios(document),
        roofline(document),
        _figures(document),
        "<ul>" + "".join(f"<li>{text(note)}</li>" for note in notes(document)) + "</ul>",
        f"<pre>{text(shlex.join(document['command']))}</pre>",
        _facts(document),
        "</section>",
    ]


def _ratios(document: Json) -> str:
    """A column for each load and other side."""
    first = document["sides"][0]["name"]
    columns = [(place, point, other) for place, point in enumerate(document["points"]) for other in point["ratios"]]
    if not columns:
        return ""
    head = "".join(
        f"<th>{text(point['load']['label'])}<br><small>{text(first)} / {text(other)}</small></th>"
        for _, point, other in columns
    )
    rows = "".join(
        f"<tr><th>{text(name)}</th>{''.join(_ratio(document, _at_ratio(*each, key), more) for each in columns)}</tr>"
        for key, name, more in COMPARED
        if any(key in point["ratios"][other] for _, point, other in columns)
    )
    title = f"{first} as a multiple of the others, with 95 % intervals over rounds"
    return f"<h3>{text(title)}</h3>{_table(head, rows)}"


def _at_ratio(place: int, point: Json, other: str, key: str) -> Place | None:
    """Where the ratio of this figure stands; None where there is none."""
    return ("points", place, "ratios", other, key) if key in point["ratios"][other] else None


def _table(head: str, rows: str) -> str:
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _ratio(document: Json, where: Place | None, more: bool) -> str:
    if where is None:
        return f"<td>{figures.NONE}</td>"
    found = at(document, where)
    low, high = found["low"], found["high"]
    ratio = datum(document, (*where, "ratio"), "ratio")
    if low is None or high is None:
        return f"<td>{ratio}</td>"
    above, below = low > 1, high < 1
    judged = "good" if (above if more else below) else "bad" if (below if more else above) else ""
    ends = " to ".join(datum(document, (*where, end), "decimal") for end in ("low", "high"))
    return f'<td class="{judged}">{ratio} <small>{ends}</small></td>'


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
"""Title, key and form of each figure."""


def _figures(document: Json) -> str:
    """One row a figure, one column a load and side: figures are many, loads few."""
    columns = [
        (("points", place, "sides", name, "figures"), point["load"]["label"] + (" *" if side["saturated"] else ""))
        for place, point in enumerate(document["points"])
        for name, side in point["sides"].items()
    ]
    loads = "".join(f"<th>{text(load)}<br><small>{text(str(where[3]))}</small></th>" for where, load in columns)
    answered = "".join(f"<td>{_answered(document, where)}</td>" for where, _ in columns)
    rows = "".join(
        f"<tr><th>{name}</th>{''.join(f'<td>{datum(document, (*where, key), form)}</td>' for where, _ in columns)}</tr>"
        for name, key, form in ROWS
        if held_text_back(document) or not key.startswith("first_token")
    )
    return f"<h3>Figures</h3>{_table(loads, f'<tr><th>answered</th>{answered}</tr>{rows}')}"


def _answered(document: Json, where: Place) -> str:
    return "/".join(datum(document, (*where, key), "count") for key in ("answered", "requests"))


def _facts(document: Json) -> str:
    machine, peak = document["environment"], document["peak"] or {}
    rows = [
        ("machine", f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['platform']}"),
        ("versions", ", ".join(f"{name} {found}" for name, found in machine["versions"].items())),
        ("Python", machine["python"]),
        ("commit", f"{machine['git_commit'][:12]}{' with changes' if machine['git_dirty'] else ''}"),
        ("peak", _peak(peak)),
        *((f"server {side['name']}", _server(side)) for side in document["sides"]),
    ]
    shown = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in rows if value)
    return f"<dl>{shown}</dl>"


def _peak(peak: Json) -> str:
    if not peak:
        return "not measured"
    bandwidth, flop = peak["bytes_per_s"], peak["flop_per_s"]
    parts = [f"{bandwidth / 1e9:.1f} GB/s read" if bandwidth else "", f"{flop / 1e9:.0f} GFLOP/s" if flop else ""]
    return f"{', '.join(part for part in parts if part)} ({peak['dtype']}, {peak['source']})"


def _server(side: Json) -> str:
    knobs = ", ".join(f"{key}={value}" for key, value in side["server"].items() if key != "name")
    return f"{side['server']['name']} {side['model']}{f' ({knobs})' if knobs else ''} at {side['base_url']}"
