"""Scaling of rotary positions, for contexts longer than the one on which a model was first trained.

The formulas and the fields' names are those of `transformers` (modeling_rope_utils.py).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch


class RopeScaling(Protocol):
    """Changes the frequencies of rotary positions."""

    @property
    def magnitude(self) -> float:
        """The factor of the cosines and sines."""
        ...

    def scale(self, frequencies: torch.Tensor, theta: float) -> torch.Tensor:
        """The scaled frequencies [pairs]. The unscaled `frequencies` are theta ** (-i / pairs)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScaling:
    """Divides all positions by the factor."""

    factor: float
    magnitude: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(factor=self.factor, magnitude=self.magnitude)

    def scale(self, frequencies: torch.Tensor, theta: float) -> torch.Tensor:
        return frequencies / self.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyFactors:
    """Divides each frequency by its own factor: LongRoPE (Ding et al. 2024), and GGUF files that have such factors."""

    factors: tuple[float, ...]
    magnitude: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(magnitude=self.magnitude)
        for factor in self.factors:
            _check_positive(factor=factor)

    def scale(self, frequencies: torch.Tensor, theta: float) -> torch.Tensor:
        if len(self.factors) != len(frequencies):
            raise ValueError(f"{len(self.factors)} factors for {len(frequencies)} rotary frequencies")
        return frequencies / torch.tensor(self.factors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama3Scaling:
    """Divides low frequencies by the factor, keeps high ones, and interpolates between them (Llama 3.1)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position: int
    magnitude: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(factor=self.factor, low_freq_factor=self.low_freq_factor)
        _check_positive(high_freq_factor=self.high_freq_factor, original_max_position=self.original_max_position)
        if self.low_freq_factor >= self.high_freq_factor:
            raise ValueError(
                f"low_freq_factor {self.low_freq_factor} is not below {self.high_freq_factor}, the high one"
            )

    def scale(self, frequencies: torch.Tensor, theta: float) -> torch.Tensor:
        turns = self.original_max_position * frequencies / (2 * math.pi)  # in the original context
        unscaled = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        unscaled = unscaled.clamp(0, 1)
        return (1 - unscaled) * frequencies / self.factor + unscaled * frequencies


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnScaling:
    """YaRN (Peng et al. 2023): like `Llama3Scaling`, interpolated by the frequency's index and with a magnitude."""

    factor: float
    original_max_position: int
    magnitude: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True

    def __post_init__(self) -> None:
        _check_positive(factor=self.factor, original_max_position=self.original_max_position)
        _check_positive(magnitude=self.magnitude, beta_fast=self.beta_fast, beta_slow=self.beta_slow)

    def scale(self, frequencies: torch.Tensor, theta: float) -> torch.Tensor:
        pairs = len(frequencies)
        low, high = (self._index_of(turns, pairs, theta) for turns in (self.beta_fast, self.beta_slow))
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, 2 * pairs - 1)
        width = high - low if high != low else 0.001
        stretched = ((torch.arange(pairs, dtype=torch.float32) - low) / width).clamp(0, 1)
        return frequencies / self.factor * stretched + frequencies * (1 - stretched)

    def _index_of(self, turns: float, pairs: int, theta: float) -> float:
        """The index of the frequency that makes this number of turns in the original context."""
        return pairs * math.log(self.original_max_position / (turns * 2 * math.pi)) / math.log(theta)


def yarn_magnitude(factor: float, mscale: float = 1.0) -> float:
    """0.1 * mscale * ln(factor) + 1; 1 for a factor of at most 1."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def rope_frequencies(pairs: int, theta: float, scaling: RopeScaling | None = None) -> torch.Tensor:
    """The frequencies float32 [pairs], in radians per position."""
    exponents = torch.arange(0, 2 * pairs, 2, dtype=torch.float32) / (2 * pairs)
    frequencies = 1.0 / float(theta) ** exponents
    return frequencies if scaling is None else scaling.scale(frequencies, theta)


def _check_positive(**values: object) -> None:
    for name, value in values.items():
        if not (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e15):
            raise ValueError(f"{name} of the rotary scaling is {value!r:.60}; a number above 0 was expected")
