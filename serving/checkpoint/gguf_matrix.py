"""A matrix of a GGUF file: its rows dequantized to float32, or for 4-bit types its quantized groups.

The layout of the blocks: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h.
"""

from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from serving.checkpoint.gguf_reader import RawTensor
from serving.model.weights import GROUP, Int4Groups, StorageFormat

_UNQUANTIZED: dict[Type, StorageFormat] = {
    Type.F64: "float32",
    Type.F32: "float32",
    Type.F16: "float16",
    Type.BF16: "bfloat16",
}
_K_BLOCK_GROUPS = 8  # groups of 32 values in a block of a K type


class GGUFMatrix:
    """A `serving.model.weights.MappedMatrix`. `order` has each row's index in the file, None if it is the same."""

    def __init__(self, tensor: RawTensor, order: NDArray[np.int64] | None = None) -> None:
        self._tensor = tensor
        self._order = order
        rows, columns = tensor.shape
        self.shape = rows, columns

    @property
    def storage_format(self) -> StorageFormat:
        """int8 for every quantized type that is not int4: types of 2, 3, 5, 6 and 8 bits, and types with a table."""
        return _UNQUANTIZED.get(self._tensor.type, "int4" if self._tensor.type in _INT4 else "int8")

    def rows(self, begin: int, end: int) -> torch.Tensor:
        values = torch.from_numpy(self._tensor.dequantized_rows(self._file_rows(begin, end)))
        self._release_at_end(end)
        return values

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        data = self._tensor.data.reshape(self.shape[0], -1)[self._file_rows(begin, end)]
        groups = end - begin, self.shape[1] // GROUP
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged file may have any scale
            values, scale, minimum = _INT4[self._tensor.type](data)
            scale, minimum = (each.reshape(groups).astype(np.float16) for each in (scale, minimum))
        self._release_at_end(end)
        return Int4Groups(
            values=torch.from_numpy(values.reshape(*groups, GROUP)),
            scale=torch.from_numpy(scale),
            minimum=torch.from_numpy(minimum),
        )

    def selected_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The file's pages are released at once: the system maps neighbours of each page too, soon the whole matrix."""
        indices = rows.numpy()
        values = torch.from_numpy(
            self._tensor.dequantized_rows(indices if self._order is None else self._order[indices])
        )
        self._tensor.release_pages()
        return values

    def _file_rows(self, begin: int, end: int) -> slice | NDArray[np.int64]:
        return slice(begin, end) if self._order is None else self._order[begin:end]

    def _release_at_end(self, end: int) -> None:
        """Releases the file's pages after the last row: rows are read in order."""
        if end == self.shape[0]:
            self._tensor.release_pages()


Groups = tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any]]
"""Values [groups, 32], and each group's scale and minimum."""


def _nibbles(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[..., n] bytes to [..., 2n] values: the low nibbles of all bytes, then the high nibbles."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def _q4_0(data: NDArray[np.uint8]) -> Groups:
    """Blocks of 18 bytes: a float16 scale and 32 values. A weight is (value - 8) * scale."""
    blocks = data.reshape(-1, 18)
    scale = blocks[:, :2].copy().view(np.float16)[:, 0].astype(np.float32)
    return _nibbles(blocks[:, 2:]), scale, -8 * scale


def _q4_1(data: NDArray[np.uint8]) -> Groups:
    """Blocks of 20 bytes: a float16 scale, a float16 minimum and 32 values."""
    blocks = data.reshape(-1, 20)
    scales = blocks[:, :4].copy().view(np.float16)
    return _nibbles(blocks[:, 4:]), scales[:, 0], scales[:, 1]


def _q4_k(data: NDArray[np.uint8]) -> Groups:
    """Blocks of 144 bytes: a float16 factor of the scales and one of the minima, 8 scales and 8 minima of 6 bits each,
    and 8 * 32 values."""
    blocks = data.reshape(-1, 144)
    factors = blocks[:, :4].copy().view(np.float16).astype(np.float32)
    scale, minimum = _six_bits(blocks[:, 4:16])
    values = _nibbles(blocks[:, 16:].reshape(-1, 4, GROUP)).reshape(-1, _K_BLOCK_GROUPS, GROUP)
    return values, factors[:, :1] * scale, -factors[:, 1:] * minimum


def _six_bits(packed: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """[blocks, 12] bytes to the scales and minima [blocks, 8]. The two high bits of the last four of each are the high
    bits of the bytes of the first four."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, (third & 15) | (first >> 6) << 4], axis=1)
    minima = np.concatenate([second & 63, (third >> 4) | (second >> 6) << 4], axis=1)
    return scales, minima


_INT4 = {Type.Q4_0: _q4_0, Type.Q4_1: _q4_1, Type.Q4_K: _q4_k}
