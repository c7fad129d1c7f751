"""A page with Plotly's charts, as one HTML file that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentbench.report.asset import asset
from agentbench.report.html_file import Html, plotly, script_json, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Plotly's data and layout, without the colours of the page's theme. `told` says in words where its figures are."""

    caption: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page's title, what it says, and the charts that `figures_of` has put there."""

    title: str
    body: Html
    charts: Mapping[str, Chart] = field(default_factory=dict)


def html_of(page: Page) -> str:
    """The whole file, with all it needs in it. `UserError` where it has charts and there is no Plotly."""
    head = [
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{text(page.title)}</title><style>{asset('page.css')}{asset('charts.css')}</style>",
    ]
    begin = ['<!doctype html>\n<html lang="en" class="noscript"><head>', *head, "</head><body><main>"]
    return "".join([*begin, str(page.body), "</main>", *_scripts(page), "</body></html>\n"])


def _scripts(page: Page) -> list[str]:
    """None in a page with nothing to draw or to sort."""
    drawing = [f"<script>{plotly()}</script>", str(charts_json(page.charts))] if page.charts else []
    live = drawing or 'class="sortable"' in str(page.body)
    return [*drawing, f"<script>{asset('charts.js')}</script>"] if live else []


def charts_json(charts: Mapping[str, Chart]) -> Html:
    """What the script draws, as a block of data."""
    drawn = {name: {"data": chart.data, "layout": chart.layout} for name, chart in charts.items()}
    return Html(f'<script type="application/json" id="charts">{script_json(drawn)}</script>')


def figures_of(charts: Mapping[str, Chart]) -> Html:
    """The places of the charts."""
    found = "".join(_figure(name, chart) for name, chart in charts.items())
    return Html(f'<div class="charts">{found}</div>' if charts else "")


def _figure(name: str, chart: Chart) -> str:
    whole = ' class="whole"' if chart.wide else ""
    label = text(f"{chart.caption}; {chart.told}" if chart.told else chart.caption)
    place = f'<div class="plot" id="{name}" role="group" aria-label="{label}"></div>'
    return f"<figure{whole}><figcaption>{text(chart.caption)}</figcaption>{place}</figure>"


def table(head: Sequence[tuple[str, str]], rows: str, kind: str = "") -> str:
    """A table that scrolls where it is too wide: headings with the class of their column, and its rows as HTML."""
    names = "".join(f"<th{f' class={css!r}' if css else ''}>{name}</th>" for name, css in head)
    opening = f'<div class="wide" tabindex="0"><table class="{kind}"><thead><tr>{names}</tr></thead>'
    return f"{opening}<tbody>{rows}</tbody></table></div>"
