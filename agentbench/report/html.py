"""A page as one HTML file that needs no network: templates, style sheets, scripts and Plotly's charts.

Every expression of a template is escaped, except `Html` and `Markup` values. A number stands on a page
together with its path in the page's JSON, so that a test can compare the two.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentbench.atomic_write import atomic_write
from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.report import figures
from agentbench.report.terminal_safe import line, plain

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE = "agentbench.report"
COLOURS = ("#2563c9", "#d9620f", "#16855b", "#b0308c", "#7a5bd0", "#8a6d00")
"""The colours `--c0` to `--c5` of page.css in light mode."""


@dataclass(frozen=True, slots=True)
class Html:
    """HTML that a template prints without escaping it."""

    text: str

    def __html__(self) -> str:
        return self.text

    __str__ = __html__


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Plotly's data and layout, without the colours of the page's theme. `figures_at` tells a screen reader where the
    page has the same numbers as text. A `wide` chart takes a row of its own."""

    caption: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    figures_at: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page's title, its body, and the charts whose places (`chart_places`) are in the body."""

    title: str
    body: Html
    charts: Mapping[str, Chart] = field(default_factory=dict)


def write_html(path: Path, html: str) -> None:
    """Writes the file atomically. `UserError` when it can't be written."""
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a directory")
    with atomic_write(path, force=True) as temporary:
        temporary.write_text(html, encoding="utf-8")


def html_of(page: Page) -> str:
    """The HTML file of a page, self-contained. `UserError` when the page has charts and Plotly is not installed."""
    drawing = {"plotly": Html(plotly()), "charts_json": charts_json(page.charts)} if page.charts else {}
    return render(
        "page.html",
        page=page,
        style=Html(asset("page.css") + asset("charts.css")),
        drawing=drawing,
        script=Html(asset("charts.js")) if drawing or 'class="sortable"' in page.body.text else "",
    )


def charts_json(charts: Mapping[str, Chart]) -> Html:
    """The charts as JSON for a script element: `<` is escaped, so that no text ends the element or opens a comment."""
    drawn = {name: {"data": chart.data, "layout": chart.layout} for name, chart in charts.items() if chart.data}
    escaped = json.dumps(drawn, allow_nan=False).replace("<", "\\u003c")
    return Html(escaped.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def chart_places(charts: Mapping[str, Chart]) -> Html:
    """The HTML elements into which the page's script draws the charts."""
    return Html(render("charts.html", charts=charts))


def chart_text(text: str) -> str:
    """Text for a chart, on one line and without `<` and `>`: Plotly interprets some tags."""
    return line(text).replace("<", "‹").replace(">", "›")


def check_installed() -> None:
    """Raises `UserError` when Jinja2 or Plotly is not installed."""
    environment()
    plotly()


def plotly() -> str:
    """Plotly's script. `UserError` when Plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UserError(f"an HTML page needs Plotly: {install_hint('report')}") from None
    return str(get_plotlyjs())


@cache
def asset(name: str) -> str:
    """The text of a file in agentbench/report/static."""
    return (files(PACKAGE) / "static" / name).read_text(encoding="utf-8")


def render(name: str, *, package: str = PACKAGE, **values: Any) -> str:
    """A rendered template of the package or, where it has none of that name, of agentbench.report. `UserError` when
    Jinja2 is not installed."""
    return environment(package).get_template(name).render(**values)


@cache
def environment(package: str = PACKAGE) -> "Environment":
    """The templates of a package and of agentbench.report. Control and direction characters are removed from every
    expression before it is escaped."""
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise UserError(f"an HTML page needs Jinja2: {install_hint('report')}") from None

    found = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, PACKAGE))]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") else plain(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, default=str)
    found.filters["pretty"] = lambda value: json.dumps(value, ensure_ascii=False, indent=1, default=str)
    found.filters["line"] = lambda value: line(str(value))
    found.filters["block"] = _block
    found.globals["lookup"] = lookup
    found.globals["traced_number"] = lambda *arguments: Markup(traced_number(*arguments))
    return found


def _block(value: object, longest: int = 4000) -> str:
    """Text with its line breaks, cut after `longest` characters."""
    text = plain(str(value))
    cut = f"… ({len(text) - longest:,} characters more)" if len(text) > longest else ""
    return text[:longest] + cut


Form = Callable[[Any], str]


FORMS: Mapping[str, Form] = {
    "cost": figures.cost,
    "count": figures.count,
    "decimal": lambda value: f"{value:.3f}",
    "kappa": lambda value: figures.NONE if value is None else f"{value:.2f}",
    "ordinal": lambda value: str(value + 1),
    "percent": figures.percent,
    "points": figures.points,
    "probability": figures.probability,
    "rate": figures.rate,
    "ratio": lambda value: f"× {value:.3f}",
    "seconds": figures.seconds,
    "shift": figures.shift,
    "integer": lambda value: f"{value:.0f}",
    "width": lambda value: figures.NONE if value is None else f"{100 * value:.1f} pts",
}
"""The formats of a number by name. Each takes the value in the JSON's unit: seconds, fractions, rates per second."""


def lookup(document: Any, path: Sequence[str | int]) -> Any:
    """The value at `path`, a sequence of mapping keys and list indices."""
    for key in path:
        document = document[key]
    return document


def traced_number(document: Any, path: Sequence[str | int], form: str) -> str:
    """The HTML element of the number at `path`: `<data data-path=… data-form=… value=…>formatted number</data>`."""
    value = lookup(document, path)
    where, raw = escape(json.dumps(list(path))), escape(json.dumps(value))
    return f'<data data-path="{where}" data-form="{form}" value="{raw}">{escape(FORMS[form](value))}</data>'
