"""A matrix of a GGUF file: its rows in float32, and those of 4-bit types as the groups that the file has.

The layout of the blocks: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h.
"""

from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from serving.checkpoint.gguf_reader import RawTensor
from serving.model.weights import GROUP, Int4Groups, Stored

_UNQUANTIZED: dict[Type, Stored] = {
    Type.F64: "float32",
    Type.F32: "float32",
    Type.F16: "float16",
    Type.BF16: "bfloat16",
}
_BLOCKS_OF_K = 8  # groups of 32 in a block of a K type


class GGUFMatrix:
    """See `serving.model.weights.Matrix`. `order` is where the file has each row, if not at its own place."""

    def __init__(self, tensor: RawTensor, order: NDArray[np.int64] | None = None) -> None:
        self._tensor = tensor
        self._order = order
        rows, columns = tensor.shape
        self.shape = rows, columns

    @property
    def stored(self) -> Stored:
        """Types of 2 and 3 bits, and those with a table of values, are none of ours: int8 holds them best."""
        return _UNQUANTIZED.get(self._tensor.type, "int4" if self._tensor.type in _INT4 else "int8")

    def rows(self, begin: int, end: int) -> torch.Tensor:
        values = torch.from_numpy(self._tensor.dequantized_rows(self._places(begin, end)))
        self._let_go(end)
        return values

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        data = self._tensor.data.reshape(self.shape[0], -1)[self._places(begin, end)]
        groups = end - begin, self.shape[1] // GROUP
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may have any scale
            values, step, least = _INT4[self._tensor.type](data)
            step, least = (scale.reshape(groups).astype(np.float16) for scale in (step, least))
        self._let_go(end)
        return Int4Groups(
            values=torch.from_numpy(values.reshape(*groups, GROUP)),
            step=torch.from_numpy(step),
            least=torch.from_numpy(least),
        )

    def _places(self, begin: int, end: int) -> slice | NDArray[np.int64]:
        return slice(begin, end) if self._order is None else self._order[begin:end]

    def _let_go(self, end: int) -> None:
        if end == self.shape[0]:
            self._tensor.let_go()


Groups = tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any]]
"""Values [groups, 32], and of each group the step and the least value."""


def _nibbles(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[..., n] bytes to [..., 2n] values: the low halves of all, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def _q4_0(data: NDArray[np.uint8]) -> Groups:
    """18 bytes: a step in float16, 32 values less 8."""
    blocks = data.reshape(-1, 18)
    step = blocks[:, :2].copy().view(np.float16)[:, 0].astype(np.float32)
    return _nibbles(blocks[:, 2:]), step, -8 * step


def _q4_1(data: NDArray[np.uint8]) -> Groups:
    """20 bytes: a step and a least value in float16, 32 values."""
    blocks = data.reshape(-1, 20)
    scales = blocks[:, :4].copy().view(np.float16)
    return _nibbles(blocks[:, 4:]), scales[:, 0], scales[:, 1]


def _q4_k(data: NDArray[np.uint8]) -> Groups:
    """144 bytes: the units of 8 steps and of 8 least values in float16, those in 6 bits each, 8 * 32 values."""
    blocks = data.reshape(-1, 144)
    units = blocks[:, :4].copy().view(np.float16).astype(np.float32)
    step, least = _six_bits(blocks[:, 4:16])
    values = _nibbles(blocks[:, 16:].reshape(-1, 4, GROUP)).reshape(-1, _BLOCKS_OF_K, GROUP)
    return values, units[:, :1] * step, -units[:, 1:] * least


def _six_bits(packed: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """[blocks, 12] bytes to two numbers for each of 8 groups. The last four have two bits in the first ones' bytes."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    steps = np.concatenate([first & 63, (third & 15) | (first >> 6) << 4], axis=1)
    leasts = np.concatenate([second & 63, (third >> 4) | (second >> 6) << 4], axis=1)
    return steps, leasts


_INT4 = {Type.Q4_0: _q4_0, Type.Q4_1: _q4_1, Type.Q4_K: _q4_k}
