"""A page as one HTML file that needs no network: templates, style sheets, scripts and Plotly's charts.

What a template prints is plain text made harmless, unless the template says otherwise.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentbench.atomic_write import whole
from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.report.terminal_safe import line, plain
from agentbench.report.traced_number import at, traced_number

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE = "agentbench.report"
COLOURS = ("#2563c9", "#d9620f", "#16855b", "#b0308c", "#7a5bd0", "#8a6d00")
"""Those of the page's style, `--c0` to `--c5`."""


@dataclass(frozen=True, slots=True)
class Html:
    """HTML that a template may take as it is."""

    text: str

    def __html__(self) -> str:
        return self.text

    __str__ = __html__


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Plotly's data and layout, without the colours of the page's theme. `figures_at` says where its figures are."""

    caption: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    figures_at: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page's title, what it says, and the charts that `chart_places` has put there."""

    title: str
    body: Html
    charts: Mapping[str, Chart] = field(default_factory=dict)


def write_html(path: Path, html: str) -> None:
    """Whole or not at all. `UserError` when it can't be written."""
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a directory")
    with whole(path, force=True) as made:
        made.write_text(html, encoding="utf-8")


def html_of(page: Page) -> str:
    """The whole file, with all it needs in it. `UserError` where it has charts and there is no Plotly."""
    drawing = {"plotly": Html(plotly()), "charts_json": charts_json(page.charts)} if page.charts else {}
    return render(
        "page.html",
        page=page,
        style=Html(asset("page.css") + asset("charts.css")),
        drawing=drawing,
        script=Html(asset("charts.js")) if drawing or 'class="sortable"' in page.body.text else "",
    )


def charts_json(charts: Mapping[str, Chart]) -> Html:
    """What the script draws, as JSON that may stand in a script element: nothing in it ends the element or begins a
    comment."""
    drawn = {name: {"data": chart.data, "layout": chart.layout} for name, chart in charts.items() if chart.data}
    escaped = json.dumps(drawn, allow_nan=False).replace("<", "\\u003c")
    return Html(escaped.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def chart_places(charts: Mapping[str, Chart]) -> Html:
    """The figures that the charts are drawn in."""
    return Html(render("charts.html", charts=charts))


def chart_text(text: str) -> str:
    """Text in a chart, on one line; Plotly reads some tags in what it writes."""
    return line(text).replace("<", "‹").replace(">", "›")


def check_installed() -> None:
    """`UserError` where what makes a page is not installed."""
    environment()
    plotly()


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
    return (files(PACKAGE) / "static" / name).read_text(encoding="utf-8")


def render(name: str, *, package: str = PACKAGE, **values: Any) -> str:
    """A template of the package, or of reports. `UserError` when Jinja2 is not installed."""
    return environment(package).get_template(name).render(**values)


@cache
def environment(package: str = PACKAGE) -> "Environment":
    """The templates of a package, and those of reports: every expression is stripped of control and direction
    characters, then escaped."""
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
    found.globals["lookup"] = at
    found.globals["traced_number"] = lambda *arguments: Markup(traced_number(*arguments))
    return found


def _block(value: object, longest: int = 4000) -> str:
    """With its lines kept, cut after `longest` characters."""
    text = plain(str(value))
    cut = f"… ({len(text) - longest:,} characters more)" if len(text) > longest else ""
    return text[:longest] + cut
