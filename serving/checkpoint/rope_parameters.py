"""Rotary positions from config.json: `rope_parameters`, or `rope_scaling` and `rope_theta` in old files."""

import logging
import math
from pathlib import Path
from typing import Any

from serving.model.rope_scaling import (
    FrequencyFactors,
    LinearScaling,
    Llama3Scaling,
    RopeScaling,
    YarnScaling,
    yarn_magnitude,
)

_LOG = logging.getLogger(__name__)

ROPE_TYPES = ("default", "linear", "dynamic", "llama3", "yarn", "longrope")
_OLDER_NAMES = ("su", "yarn")  # the names of longrope in old Phi-3 files


def rope_parameters(raw: dict[str, Any], layers: str = "full_attention") -> dict[str, Any]:
    """The rotary settings of a kind of layer. If a file has both the old and the new keys, the old ones count, as in
    `transformers`."""
    older: dict[str, Any] = raw.get("rope_scaling") or {}
    newer: dict[str, Any] = raw.get("rope_parameters") or {}
    if "full_attention" in newer:
        return newer[layers] if layers == "sliding_attention" else {**newer[layers], **older}
    return {} if layers == "sliding_attention" else older or newer


def rope_type(raw: dict[str, Any], layers: str = "full_attention") -> str:
    rope = rope_parameters(raw, layers)
    kind = str(rope.get("rope_type", rope.get("type", "default")))
    return "longrope" if raw.get("model_type") == "phi3" and kind in _OLDER_NAMES else kind


def partial_rotary_factor(raw: dict[str, Any]) -> float:
    """The share of a head's dimensions that are rotated."""
    factor = rope_parameters(raw).get("partial_rotary_factor", raw.get("partial_rotary_factor"))
    return 1.0 if factor is None else float(factor)


def rope_scaling(raw: dict[str, Any]) -> RopeScaling | None:
    """The scaling of the layers with full attention.

    KeyError for a missing key, ValueError or TypeError for a bad value.

    `dynamic` scales only beyond the model's context, which the engine never exceeds: there is no scaling.
    """
    rope, kind = rope_parameters(raw), rope_type(raw)
    if kind == "linear":
        return LinearScaling(factor=rope["factor"])
    if kind == "llama3":
        return Llama3Scaling(
            factor=rope["factor"],
            low_freq_factor=rope["low_freq_factor"],
            high_freq_factor=rope["high_freq_factor"],
            original_max_position=_original(raw, rope),
        )
    if kind == "yarn":
        return _yarn(raw, rope)
    return _short_factors(raw, rope) if kind == "longrope" else None


def max_position(file: Path, raw: dict[str, Any]) -> int:
    """The longest context in tokens. With LongRoPE it is the original context: beyond it other frequencies apply, also
    to keys that are already cached. YaRN's factor may reach beyond `max_position_embeddings`, as Qwen 2.5's does."""
    full: int = raw["max_position_embeddings"]
    rope, scaling = rope_parameters(raw), rope_scaling(raw)
    if isinstance(scaling, YarnScaling) and rope.get("original_max_position_embeddings"):
        return max(full, int(scaling.original_max_position * scaling.factor))
    if rope_type(raw) != "longrope" or full <= (original := _original(raw, rope)):
        return full
    _LOG.warning("%s: rope_type 'longrope' is exact up to %d tokens; the context ends there, not at %d.",
                 file, original, full)  # fmt: skip
    return original


def _yarn(raw: dict[str, Any], rope: dict[str, Any]) -> YarnScaling:
    original, factor = _original(raw, rope), rope["factor"]
    factor = raw["max_position_embeddings"] / original if factor is None else factor
    magnitude, mscale, of_all = (rope.get(key) for key in ("attention_factor", "mscale", "mscale_all_dim"))
    if magnitude is None and mscale and of_all:
        magnitude = yarn_magnitude(factor, mscale) / yarn_magnitude(factor, of_all)
    if magnitude is None:
        magnitude = yarn_magnitude(factor)
    return YarnScaling(
        factor=factor,
        original_max_position=original,
        magnitude=magnitude,
        beta_fast=rope.get("beta_fast") or 32.0,
        beta_slow=rope.get("beta_slow") or 1.0,
        truncate=bool(rope.get("truncate", True)),
    )


def _short_factors(raw: dict[str, Any], rope: dict[str, Any]) -> FrequencyFactors:
    original, factor, magnitude = _original(raw, rope), rope.get("factor"), rope.get("attention_factor")
    factor = raw["max_position_embeddings"] / original if factor is None else factor
    if magnitude is None:
        magnitude = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return FrequencyFactors(factors=tuple(rope["short_factor"]), magnitude=magnitude)


def _original(raw: dict[str, Any], rope: dict[str, Any]) -> int:
    """The length in tokens of the context before it was extended."""
    key = "original_max_position_embeddings"
    found: int = raw.get(key) or rope.get(key) or raw["max_position_embeddings"]
    return found
