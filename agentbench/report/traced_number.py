"""A number on a page, with where it stands in the JSON of the same thing: one can be held against the other."""

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
    "whole": lambda value: f"{value:.0f}",
    "width": lambda value: figures.NONE if value is None else f"{100 * value:.1f} pts",
}
"""How a number is written: seconds, fractions and rates come as the JSON has them."""


def at(document: Any, path: Sequence[str | int]) -> Any:
    """What stands at `path`: keys of mappings, and places of lists."""
    for key in path:
        document = document[key]
    return document


def traced_number(document: Any, path: Sequence[str | int], form: str) -> str:
    """The element of the number at `path`: `<data data-path=… data-form=… value=…>as a reader wants it</data>`."""
    value = at(document, path)
    where, raw = escape(json.dumps(list(path))), escape(json.dumps(value))
    return f'<data data-path="{where}" data-form="{form}" value="{raw}">{escape(FORMS[form](value))}</data>'
