"""The embedding and rotary positions."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from serving.model.kernels.linear import quantize_int8
from serving.model.precision import Precision
from serving.model.rope_scaling import RopeScaling, rope_frequencies
from serving.model.weights import GROUP, Matrix

_UNQUANTIZED = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_ROWS_AT_ONCE = 2048  # of a table, in float32


class Embedding:
    """Token ids [tokens] to [tokens, hidden_size] times `scale`. The table stays in the weights' type."""

    def __init__(self, table: Matrix, precision: Precision, scale: float = 1.0) -> None:
        dtype = _UNQUANTIZED.get(table.stored, precision.weights) if precision.as_stored else precision.weights
        self._table = torch.empty(*table.shape, device=precision.device, dtype=dtype)
        for begin in range(0, table.shape[0], _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, table.shape[0])
            self._table[begin:end] = table.rows(begin, end).to(dtype)
        self._activations = precision.activations
        # Gemma rounds its scale to the weights' type before it multiplies.
        self._scale = float(torch.tensor(scale, dtype=dtype))

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        x = F.embedding(token_ids, self._table).to(self._activations)
        return x if self._scale == 1.0 else x.mul_(self._scale)


class QuantizedEmbedding:
    """As `Embedding`; a table of 8 or 4 bits that stays so. float32 activations on the CPU."""

    def __init__(self, table: Matrix, scale: float = 1.0) -> None:
        rows, columns = table.shape
        is_int4 = table.stored == "int4"
        self._values = torch.empty(rows, columns // GROUP, GROUP // 2 if is_int4 else GROUP, dtype=torch.uint8)
        self._step = torch.empty(rows, columns // GROUP, dtype=torch.float16)
        self._least = torch.empty_like(self._step) if is_int4 else None
        self._scale = scale
        for begin in range(0, rows, _ROWS_AT_ONCE):
            self._keep(table, begin, min(begin + _ROWS_AT_ONCE, rows))

    def _keep(self, table: Matrix, begin: int, end: int) -> None:
        if self._least is None:
            values, self._step[begin:end] = quantize_int8(table.rows(begin, end).view(end - begin, -1, GROUP))
            self._values[begin:end] = values.view(torch.uint8)
            return
        found = table.int4_rows(begin, end)
        first, second = found.values[..., : GROUP // 2], found.values[..., GROUP // 2 :]
        self._values[begin:end] = first | (second << 4)
        self._step[begin:end], self._least[begin:end] = found.step, found.least

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        values, step = self._values[token_ids], self._step[token_ids].float().unsqueeze(-1)
        if self._least is None:
            x = values.view(torch.int8) * step
        else:
            x = torch.cat([values & 15, values >> 4], dim=-1) * step + self._least[token_ids].float().unsqueeze(-1)
        return x.flatten(1) if self._scale == 1.0 else x.flatten(1).mul_(self._scale)


def make_embedding(table: Matrix, precision: Precision, scale: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    """In the weights' type, or as the file has it where that is asked for."""
    if precision.quantization == "auto" and table.stored in ("int4", "int8") and not table.shape[1] % GROUP:
        return QuantizedEmbedding(table, scale)
    return Embedding(table, precision, scale)


class Rotary:
    """Rotary positions (Su et al. 2021), first and second half of a head paired as Hugging Face models do.

    With `scaling`, frequencies and magnitude are those of a stretched context.
    """

    def __init__(
        self, head_dim: int, max_position: int, theta: float, precision: Precision, scaling: RopeScaling | None = None
    ) -> None:
        frequencies = rope_frequencies(head_dim // 2, theta, scaling)
        angles = torch.outer(torch.arange(max_position, dtype=torch.float32), frequencies)
        magnitude = 1.0 if scaling is None else scaling.magnitude
        self.cos = (angles.cos() * magnitude).to(device=precision.device, dtype=precision.activations)
        self.sin = (angles.sin() * magnitude).to(device=precision.device, dtype=precision.activations)

    def at(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines [tokens, 1, head_dim / 2] of these positions."""
        return self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate heads [tokens, heads, head_dim] by their positions' angles."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    rotated = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.mul(first, cos, out=rotated[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=rotated[..., half:]).addcmul_(first, sin)
    return rotated
