"""Pages from templates: what they print is plain text made harmless, unless a template says otherwise."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.report.datum import datum
from agentbench.report.html_file import block
from agentbench.report.plain import line, plain

if TYPE_CHECKING:
    from jinja2 import Environment


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
