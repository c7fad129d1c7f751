"""A page as one HTML file that needs no network: templates, style sheets, scripts and Plotly's charts.

What a template prints is plain text made harmless, unless the template says otherwise.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.report.terminal_safe import line, plain
from agentbench.report.traced_number import datum

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, slots=True)
class Html:
    """HTML that a template may take as it is."""

    text: str

    def __html__(self) -> str:
        return self.text

    __str__ = __html__


def write_html(path: Path, html: str) -> None:
    """Whole or not at all. `UserError` when it can't be written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(html, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise UserError(f"can't write {path}: {error.strerror or error}") from None


def text(value: object) -> str:
    """On one line, harmless."""
    return escape(line(str(value)))


def block(value: object, longest: int = 4000) -> str:
    """With its lines kept, cut after `longest` characters, harmless."""
    whole = plain(str(value))
    cut = f"… ({len(whole) - longest:,} characters more)" if len(whole) > longest else ""
    return escape(whole[:longest]) + cut


def script_json(value: Any) -> str:
    """JSON that may stand in a script element: nothing in it ends the element or begins a comment."""
    return (
        json.dumps(value, allow_nan=False)
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def plotly() -> str:
    """Plotly's script. `UserError` when the package is not there."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UserError(f"an HTML page needs Plotly: {install_hint('report')}") from None
    return str(get_plotlyjs())


@cache
def asset(name: str) -> str:
    """The text of a file of agentbench/report/static."""
    return (files("agentbench.report") / "static" / name).read_text(encoding="utf-8")


def render(name: str, **values: Any) -> str:
    """A template of agentbench/report/templates. `UserError` when Jinja2 is not installed."""
    return environment().get_template(name).render(**values)


@cache
def environment() -> "Environment":
    """Every expression is stripped of control and direction characters, then escaped."""
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise UserError(f"an HTML page needs Jinja2: {install_hint('report')}") from None

    found = Environment(
        loader=ChoiceLoader([PackageLoader("agentbench.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") else plain(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, default=str)
    found.filters["pretty"] = lambda value: json.dumps(value, ensure_ascii=False, indent=1, default=str)
    found.filters["line"] = lambda value: line(str(value))
    found.filters["block"] = lambda value, longest=4000: Markup(block(value, longest))
    found.globals["datum"] = lambda *arguments: Markup(datum(*arguments))
    return found


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
