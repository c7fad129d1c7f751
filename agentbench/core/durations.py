"""Durations in the form 500ms, 2s, 1.5m."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(value: str | float) -> float:
    """The duration in seconds; a bare number already means seconds. Raises `ValueError` for anything else, infinity
    included.
    """
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError("expected a finite number of seconds, or a duration such as 500ms, 2s or 1.5m")
        return float(value)
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(us|ms|s|m|h)\s*", value)
    if match is None:
        raise ValueError("expected a duration such as 500ms, 2s or 1.5m")
    return float(match[1]) * _UNITS[match[2]]


Seconds = Annotated[float, BeforeValidator(seconds)]
"""A pydantic field that takes a duration and holds seconds."""


def shown(value: float) -> str:
    """Seconds in a readable unit: 512 ms, 1.25 s."""
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
