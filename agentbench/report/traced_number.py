"""A number on a page together with its path in the page's JSON, so that a test can compare the two."""

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from agentbench.report import figures

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
