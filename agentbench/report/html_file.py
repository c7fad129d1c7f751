"""An HTML file that works by itself: what it needs is in it."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.report.plain import line, plain


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
