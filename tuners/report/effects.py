"""The effect of each parameter on quality, estimated from the candidates that were tried.

An adaptive search tries good values more often, so shares of its trials' variance would describe the search, not the
parameters. Instead, a linear model is fitted to all parameters together, by least squares with each candidate weighted
by its number of answered cases. Each effect has a confidence interval.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentbench.stats.intervals import student_quantile
from tuners.report.words import shown_value
from tuners.search.candidate import BASELINE, Candidate

LEAST_SPARE = 4
"""Least degrees of freedom (candidates − coefficients) of a fit; with fewer there is no estimate of the error."""

LEVELS = 4
"""A numeric parameter with more values than these is fitted as a line."""

CONFIDENCE = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A parameter's effect.

    `difference` is the quality under the value `best` minus that under `worst`, as a fraction, with all other
    parameters equal. `margin` is half the width of its 95 % confidence interval. `candidates` is how many were tried
    with one of the two values, or all of them for a number that is fitted as a line.
    """

    best: str
    worst: str
    difference: float
    margin: float
    candidates: int

    @property
    def is_shown(self) -> bool:
        """Whether the difference exceeds its margin of error."""
        return self.difference > self.margin

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column of the design matrix: 1 where the parameter has this `level`, or else the parameter's number.

    The most common level has no column. `ends` are the least and the greatest number.
    """

    path: str
    values: Floats
    level: str = ""
    ends: tuple[float, float] = (0.0, 1.0)


def effects_of(candidates: Sequence[Candidate], paths: Sequence[str]) -> dict[str, Effect]:
    """Path to effect, the largest first.

    An effect that the candidates do not separate from others is left out; there are none when too few candidates were
    tried. A parameter that was not decided counts as having its most common value.
    """
    tried = [each for each in candidates if each.scores and each.number != BASELINE]
    columns = [column for path in paths for column in _columns(path, tried)]
    spare = len(tried) - 1 - len(columns)
    if not columns or spare < LEAST_SPARE:
        return {}
    fit = _fit(tried, columns)
    t = student_quantile(CONFIDENCE, spare)
    effects = {path: _effect(path, tried, columns, fit, t) for path in {each.path for each in columns}}
    found = [(path, effect) for path, effect in effects.items() if effect is not None]
    return dict(sorted(found, key=lambda item: (-item[1].difference, item[0])))


def _columns(path: str, candidates: Sequence[Candidate]) -> list[_Column]:
    values = [each.settings.get(path) for each in candidates]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > LEVELS:
        ends = (float(min(numbers)), float(max(numbers)))
        return [_Column(path=path, values=np.array(numbers, dtype=float), ends=ends)]
    labels = _labels(path, candidates)
    return [
        _Column(path=path, level=level, values=np.array([float(label == level) for label in labels]))
        for level in _levels(labels)[1:]
    ]


def _labels(path: str, candidates: Sequence[Candidate]) -> list[str | None]:
    return [shown_value(each.settings[path], path=path) if path in each.settings else None for each in candidates]


def _levels(labels: Sequence[str | None]) -> list[str]:
    """The levels, the most common one first."""
    return sorted({label for label in labels if label is not None}, key=lambda level: (-labels.count(level), level))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """The coefficients [p] and their covariance [p, p].

    `projection` [p, p] projects on the row space of the design matrix: a contrast in it can be estimated.
    """

    coefficients: Floats
    covariance: Floats
    projection: Floats


def _fit(candidates: Sequence[Candidate], columns: Sequence[_Column]) -> _Fit:
    design = np.column_stack([np.ones(len(candidates)), *(column.values for column in columns)])
    weights = np.array([len(each.scores) for each in candidates], dtype=float)
    quality = np.array([each.quality for each in candidates])
    inverse = np.linalg.pinv(design.T @ (weights[:, None] * design))
    coefficients = inverse @ (design.T @ (weights * quality))
    residuals = quality - design @ coefficients
    variance = float((weights * residuals**2).sum()) / (len(quality) - design.shape[1])
    projection = np.linalg.pinv(design) @ design
    return _Fit(coefficients=coefficients, covariance=inverse * variance, projection=projection)


def _effect(
    path: str, candidates: Sequence[Candidate], columns: Sequence[_Column], fit: _Fit, t: float
) -> Effect | None:
    """The effect between the best and the worst fitted level; None when it can't be separated from other effects."""
    contrasts = _contrasts(path, candidates, columns, len(fit.coefficients))
    ranked = sorted(contrasts, key=lambda level: float(contrasts[level] @ fit.coefficients))
    worst, best = ranked[0], ranked[-1]
    contrast = contrasts[best] - contrasts[worst]
    if not np.allclose(contrast @ fit.projection, contrast, atol=1e-6):
        return None
    tried = [label for label in _labels(path, candidates) if label in (best, worst)]
    return Effect(
        best=best,
        worst=worst,
        difference=float(contrast @ fit.coefficients),
        margin=t * float(np.sqrt(contrast @ fit.covariance @ contrast)),
        candidates=len(tried) if any(each.path == path and each.level for each in columns) else len(candidates),
    )


def _contrasts(path: str, candidates: Sequence[Candidate], columns: Sequence[_Column], size: int) -> dict[str, Floats]:
    """Level of the parameter, or end of its line, to its vector [p] of factors for the coefficients."""
    found: dict[str, Floats] = {}
    for place, column in enumerate(columns, start=1):
        if column.path != path:
            continue
        for name, value in ((column.level, 1.0),) if column.level else ((f"{end:g}", end) for end in column.ends):
            found[name] = np.eye(size)[place] * value
        if column.level:
            found.setdefault(_levels(_labels(path, candidates))[0], np.zeros(size))
    return found
