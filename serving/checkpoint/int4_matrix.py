"""Matrices of 4-bit safetensors checkpoints: AWQ and GPTQ. A weight is (value - zero point) * scale in both.

The layouts: AutoAWQ's awq/utils/packing_utils.py ("gemm"), and GPTQModel's gptqmodel/utils/model.py with the conversion
of the format "gptq" to "gptq_v2".
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from serving.core import ModelLoadError
from serving.model.weights import GROUP, Int4Groups, Matrix, StorageFormat

_PER_WORD = 8  # 4-bit values in an int32, the lowest bits first
_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # the position in a word of each of 8 adjacent outputs
_ONES = 0x11111111  # "gptq" stores each zero point minus 1; adding this to a word adds 1 to all 8
_DTYPES: dict[torch.dtype, StorageFormat] = {torch.float16: "float16", torch.bfloat16: "bfloat16"}

Read = Callable[[str], torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Int4Layout:
    """How a checkpoint packs its 4-bit weights, from `quantization_config` in config.json."""

    method: Literal["awq", "gptq"]
    group_size: int  # number of adjacent inputs that share a scale; -1: all inputs
    zeros_less_one: bool = False

    def matrix(self, layer: str, read: Read, names: Container[str]) -> Matrix:
        """The weight of a layer. `ModelLoadError` for tensors that are inconsistent."""
        qweight, qzeros, scales = (read(f"{layer}.{kind}") for kind in ("qweight", "qzeros", "scales"))
        types = qweight.dtype == qzeros.dtype == torch.int32 and scales.dtype.is_floating_point
        if not types or not qweight.ndim == qzeros.ndim == scales.ndim == 2:
            raise _inconsistent(layer, "its weights are no int32 matrices, or its scales no floating-point matrix")
        zeros, packed_inputs = self._zeros(qzeros), self.method == "gptq"
        rows, columns = qweight.shape[1], qweight.shape[0]
        rows, columns = (rows, columns * _PER_WORD) if packed_inputs else (rows * _PER_WORD, columns)
        group_index = f"{layer}.g_idx" if packed_inputs and f"{layer}.g_idx" in names else None
        groups = read(group_index).long() if group_index else self._groups(columns)
        count = len(scales) if group_index else int(groups.max()) + 1
        fits = groups.shape == (columns,) and bool(((groups >= 0) & (groups < count)).all())
        if not fits or scales.shape != (count, rows) or zeros.shape != scales.shape:
            raise _inconsistent(layer, f"scales of shape {tuple(scales.shape)} do not fit its weights and groups")
        return Int4Matrix(self.method, qweight, zeros, scales, groups)

    def _groups(self, columns: int) -> torch.Tensor:
        return torch.arange(columns) // (self.group_size if self.group_size > 0 else columns)

    def _zeros(self, qzeros: torch.Tensor) -> torch.Tensor:
        words = qzeros.long() + _ONES if self.zeros_less_one else qzeros.long()
        return _unpacked_rows(words, self.method == "awq")


class Int4Matrix:
    """A `serving.model.weights.Matrix`. Its storage format is int4_zero_point if every group of 32 inputs has one scale
    and float16 holds all scales. Otherwise it is the scales' type, in which the checkpoint's own kernels multiply."""

    def __init__(
        self, method: str, qweight: torch.Tensor, zeros: torch.Tensor, scales: torch.Tensor, groups: torch.Tensor
    ) -> None:
        self._awq, self._qweight = method == "awq", qweight
        self._zeros, self._scales, self._groups = zeros, scales, groups  # [groups, outputs] twice, [inputs]
        self.shape = scales.shape[1], len(groups)
        self.storage_format: StorageFormat = (
            "int4_zero_point" if self._is_exact() else _DTYPES.get(scales.dtype, "float32")
        )

    def _is_exact(self) -> bool:
        if self.shape[1] % GROUP or not torch.equal(self._scales.half().float(), self._scales.float()):
            return False
        groups = self._groups.view(-1, GROUP)
        return bool((groups == groups[:, :1]).all())

    def rows(self, begin: int, end: int) -> torch.Tensor:
        zeros, scales = (table[:, begin:end].T[:, self._groups] for table in (self._zeros, self._scales))
        return (self._values(begin, end) - zeros) * scales.float()

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        groups = self._groups[::GROUP]
        zeros, scales = (table[:, begin:end].T[:, groups].half() for table in (self._zeros, self._scales))
        values = self._values(begin, end).to(torch.uint8)
        return Int4Groups(values=values.view(end - begin, -1, GROUP), scale=scales, minimum=-zeros)

    def _values(self, begin: int, end: int) -> torch.Tensor:
        """The integers from 0 to 15, [end - begin, in_features]."""
        if not self._awq:  # a word has 8 adjacent inputs
            return _unpacked(self._qweight[:, begin:end].T).flatten(1)
        first = begin // _PER_WORD
        words = self._qweight[:, first : -(-end // _PER_WORD)]
        return _unpacked_rows(words, awq=True)[:, begin - first * _PER_WORD : end - first * _PER_WORD].T


def int4_layout(file: Path, raw: dict[str, Any]) -> Int4Layout | None:
    """The layout of the 4-bit weights; None without `quantization_config`. `ModelLoadError` for a layout that is not
    supported."""
    about = raw.get("quantization_config")
    if about is None:
        return None
    if not isinstance(about, dict):
        raise ModelLoadError(f"{file}: quantization_config is {about!r:.60}; an object was expected.")
    method = str(about.get("quant_method"))
    kind = str(about.get("checkpoint_format") or about.get("format") or "gptq").lower()
    for key, value, supported in (
        ("quant_method", method, ("awq", "gptq")),
        ("bits", about.get("bits", about.get("w_bit")), (4,)),
        ("version", str(about.get("version", "gemm")).lower() if method == "awq" else "gemm", ("gemm",)),
        ("zero_point", about.get("zero_point", True) if method == "awq" else True, (True,)),
        ("checkpoint_format", kind if method == "gptq" else "gptq", ("gptq", "gptq_v2")),
        ("is_marlin_format", bool(about.get("is_marlin_format")), (False,)),
    ):
        if value not in supported:
            allowed = " or ".join(map(repr, supported))
            raise ModelLoadError(
                f"{file}: quantization_config.{key} {value!r:.60} is not supported, only {allowed}; use another model."
            )
    size = about.get("group_size", about.get("q_group_size", 128))
    if type(size) is not int or (size < 1 and size != -1):
        raise ModelLoadError(f"{file}: quantization_config.group_size {size!r:.60} is no group size, nor -1 for all.")
    return Int4Layout(
        method="awq" if method == "awq" else "gptq",
        group_size=size,
        zeros_less_one=method == "gptq" and kind == "gptq",
    )


def _unpacked(words: torch.Tensor) -> torch.Tensor:
    """Words [..., n] to values int32 [..., n, 8]."""
    shifts = torch.arange(0, 32, 32 // _PER_WORD, dtype=words.dtype)
    return ((words.unsqueeze(-1) >> shifts) & 15).to(torch.int32)


def _unpacked_rows(words: torch.Tensor, awq: bool) -> torch.Tensor:
    """Words [n, words] to values [n, 8 * words], in the order of the outputs."""
    values = _unpacked(words)
    return (values[..., _AWQ_ORDER] if awq else values).flatten(1)


def _inconsistent(layer: str, why: str) -> ModelLoadError:
    return ModelLoadError(f"layer {layer!r}: {why}: the file is inconsistent; fetch it again.")
