"""What each parameter did to quality, as far as the candidates that were tried support it.

An adaptive search tries what does well, so that shares of the variance of its trials say more of the search than of the
parameters. Here the effects of all parameters are fitted together (weighted least squares; a candidate weighs as many
cases as it answered), and each comes with its standard error.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tuners.report.words import shown_value
from tuners.search.candidate import BASELINE, Candidate

LEAST_SPARE = 4
"""Candidates more than there are coefficients: with fewer nothing is said of the error."""

LEVELS = 4
"""A number of more values is fitted as a line."""

CONFIDENCE = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """`difference` is the quality under the value `best` less that under `worst` (a fraction), all else the same, with
    `margin` to either side at 95 %; `candidates` were tried with either."""

    best: str
    worst: str
    difference: float
    margin: float
    candidates: int

    @property
    def is_shown(self) -> bool:
        """Whether it is more than its error."""
        return self.difference > self.margin

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """Of the design: whether a parameter has this level and not its commonest, or, of many numbers, the number."""

    path: str
    values: Floats
    level: str = ""
    ends: tuple[float, float] = (0.0, 1.0)


def effects_of(candidates: Sequence[Candidate], paths: Sequence[str]) -> dict[str, Effect]:
    """Path to effect, the largest first; those that the candidates don't tell apart from others are left out, and all
    where too few were tried. A parameter that was not decided counts as at its commonest value."""
    known = [each for each in candidates if each.scores and each.number != BASELINE]
    columns = [column for path in paths for column in _columns(path, known)]
    spare = len(known) - 1 - len(columns)
    if not columns or spare < LEAST_SPARE:
        return {}
    fit = _fitted(known, columns)
    t = float(stats.t.ppf((1 + CONFIDENCE) / 2, spare))
    effects = {path: _effect(path, known, columns, fit, t) for path in {each.path for each in columns}}
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
    """The commonest first."""
    return sorted({label for label in labels if label is not None}, key=lambda level: (-labels.count(level), level))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Coefficients and their covariance; `known` projects on what the candidates tell apart."""

    found: Floats
    covariance: Floats
    known: Floats


def _fitted(candidates: Sequence[Candidate], columns: Sequence[_Column]) -> _Fit:
    design = np.column_stack([np.ones(len(candidates)), *(column.values for column in columns)])
    weights = np.array([len(each.scores) for each in candidates], dtype=float)
    quality = np.array([each.quality for each in candidates])
    inverse = np.linalg.pinv(design.T @ (weights[:, None] * design))
    found = inverse @ (design.T @ (weights * quality))
    residuals = quality - design @ found
    variance = float((weights * residuals**2).sum()) / (len(quality) - design.shape[1])
    return _Fit(found=found, covariance=inverse * variance, known=np.linalg.pinv(design) @ design)


def _effect(
    path: str, candidates: Sequence[Candidate], columns: Sequence[_Column], fit: _Fit, t: float
) -> Effect | None:
    """Between the best of the fitted levels and the worst; None where that is not told apart from other effects."""
    contrasts = _contrasts(path, candidates, columns, len(fit.found))
    ranked = sorted(contrasts, key=lambda level: float(contrasts[level] @ fit.found))
    worst, best = ranked[0], ranked[-1]
    contrast = contrasts[best] - contrasts[worst]
    if not np.allclose(contrast @ fit.known, contrast, atol=1e-6):
        return None
    tried = [label for label in _labels(path, candidates) if label in (best, worst)]
    return Effect(
        best=best,
        worst=worst,
        difference=float(contrast @ fit.found),
        margin=t * float(np.sqrt(contrast @ fit.covariance @ contrast)),
        candidates=len(tried) if any(each.path == path and each.level for each in columns) else len(candidates),
    )


def _contrasts(path: str, candidates: Sequence[Candidate], columns: Sequence[_Column], size: int) -> dict[str, Floats]:
    """Level of the parameter, or end of its line, to what multiplies the coefficients there."""
    found: dict[str, Floats] = {}
    for place, column in enumerate(columns, start=1):
        if column.path != path:
            continue
        for name, value in ((column.level, 1.0),) if column.level else ((f"{end:g}", end) for end in column.ends):
            found[name] = np.eye(size)[place] * value
        if column.level:
            found.setdefault(_levels(_labels(path, candidates))[0], np.zeros(size))
    return found
