"""The embedding and rotary positions."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from serving.model.kernels.linear import quantize_int8
from serving.model.precision import Precision
from serving.model.rope_scaling import RopeScaling, rope_frequencies
from serving.model.weights import GROUP, INT4, MappedMatrix, Matrix

_UNQUANTIZED = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_ROWS_AT_ONCE = 2048  # rows of a table that are converted at once in float32


class Embedding:
    """Maps token ids [tokens] to embeddings [tokens, hidden_size], times `scale`. The table has the weights' type."""

    def __init__(self, table: Matrix, precision: Precision, scale: float = 1.0) -> None:
        dtype = _UNQUANTIZED.get(table.storage_format, precision.weights) if precision.keep_dtype else precision.weights
        self._table = torch.empty(*table.shape, device=precision.device, dtype=dtype)
        for begin in range(0, table.shape[0], _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, table.shape[0])
            self._table[begin:end] = table.rows(begin, end).to(dtype)
        self._activations = precision.activations
        # Gemma rounds the scale to the weights' type before the multiplication.
        self._scale = float(torch.tensor(scale, dtype=dtype))

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        x = F.embedding(token_ids, self._table).to(self._activations)
        return x if self._scale == 1.0 else x.mul_(self._scale)


class MappedEmbedding:
    """An `Embedding` that reads rows from the file when they are needed. float32 activations on the CPU."""

    def __init__(self, table: MappedMatrix, scale: float = 1.0) -> None:
        self._table, self._scale = table, scale

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        x = self._table.selected_rows(token_ids)
        return x if self._scale == 1.0 else x.mul_(self._scale)


class QuantizedEmbedding:
    """An `Embedding` whose table stays quantized to 8 or 4 bits. float32 activations on the CPU."""

    def __init__(self, table: Matrix, scale: float = 1.0) -> None:
        rows, columns = table.shape
        is_int4 = table.storage_format == "int4"
        self._values = torch.empty(rows, columns // GROUP, GROUP // 2 if is_int4 else GROUP, dtype=torch.uint8)
        self._group_scale = torch.empty(rows, columns // GROUP, dtype=torch.float16)
        self._minimum = torch.empty_like(self._group_scale) if is_int4 else None
        self._scale = scale
        for begin in range(0, rows, _ROWS_AT_ONCE):
            self._pack(table, begin, min(begin + _ROWS_AT_ONCE, rows))

    def _pack(self, table: Matrix, begin: int, end: int) -> None:
        if self._minimum is None:
            values, self._group_scale[begin:end] = quantize_int8(table.rows(begin, end).view(end - begin, -1, GROUP))
            self._values[begin:end] = values.view(torch.uint8)
            return
        groups = table.int4_rows(begin, end)
        first, second = groups.values[..., : GROUP // 2], groups.values[..., GROUP // 2 :]
        self._values[begin:end] = first | (second << 4)
        self._group_scale[begin:end], self._minimum[begin:end] = groups.scale, groups.minimum

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        values, scale = self._values[token_ids], self._group_scale[token_ids].float().unsqueeze(-1)
        if self._minimum is None:
            x = values.view(torch.int8) * scale
        else:
            x = torch.cat([values & 15, values >> 4], dim=-1) * scale + self._minimum[token_ids].float().unsqueeze(-1)
        return x.flatten(1) if self._scale == 1.0 else x.flatten(1).mul_(self._scale)


def make_embedding(table: Matrix, precision: Precision, scale: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    """With quantization "auto" a quantized table stays quantized: in its file where rows can be read from it, else in
    memory. All others become an `Embedding`."""
    if precision.quantization != "auto" or table.storage_format not in (*INT4, "int8"):
        return Embedding(table, precision, scale)
    if isinstance(table, MappedMatrix):
        return MappedEmbedding(table, scale)
    is_supported = table.storage_format != "int4_zero_point" and not table.shape[1] % GROUP
    return QuantizedEmbedding(table, scale) if is_supported else Embedding(table, precision, scale)


class Rotary:
    """Rotary positions (Su et al. 2021). Pairs are (i, i + dim / 2), as in Hugging Face models.

    `dim` is the number of rotated dimensions. `scaling` changes the frequencies and the magnitude for a longer context.
    """

    def __init__(
        self, dim: int, max_position: int, theta: float, precision: Precision, scaling: RopeScaling | None = None
    ) -> None:
        frequencies = rope_frequencies(dim // 2, theta, scaling)
        angles = torch.outer(torch.arange(max_position, dtype=torch.float32), frequencies)
        magnitude = 1.0 if scaling is None else scaling.magnitude
        self.cos = (angles.cos() * magnitude).to(device=precision.device, dtype=precision.activations)
        self.sin = (angles.sin() * magnitude).to(device=precision.device, dtype=precision.activations)

    def at(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The cosines and sines [tokens, 1, dim / 2] of the positions [tokens]."""
        return self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotates heads [tokens, heads, head_dim] by the angles with these cosines and sines [tokens, 1, dim / 2].

    Dimensions from `dim` on are not rotated.
    """
    half = cos.shape[-1]
    first, second = x[..., :half], x[..., half : 2 * half]
    rotated = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.mul(first, cos, out=rotated[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=rotated[..., half : 2 * half]).addcmul_(first, sin)
    if 2 * half < x.shape[-1]:
        rotated[..., 2 * half :] = x[..., 2 * half :]
    return rotated
