"""The tensors of a checkpoint: vectors in float32, and matrices that are read a few rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol, runtime_checkable

import torch

from serving.core import ModelLoadError

GROUP = 32
"""Number of adjacent weights of a row that share a scale."""

StorageFormat = Literal["int4", "int4_zero_point", "int8", "bfloat16", "float16", "float32"]
"""The narrowest format of the kernels for the weights of a file. It holds them exactly, except that scales are rounded
to 16 bits and that other quantized types are quantized again to int8."""

_WIDTHS: dict[StorageFormat, int] = {
    "int4": 4,
    "int4_zero_point": 4,
    "int8": 8,
    "bfloat16": 16,
    "float16": 16,
    "float32": 32,
}
INT4: tuple[StorageFormat, ...] = ("int4", "int4_zero_point")
"""The storage formats with `Int4Groups`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int4Groups:
    """Rows of a matrix. A weight is value * scale + minimum; each group of 32 has its scale and minimum.

    In the storage format int4_zero_point a weight is (value + minimum) * scale, with an integer minimum: float16 holds
    it exactly, but not its product with the scale.
    """

    values: torch.Tensor  # uint8 [rows, groups, 32], 0 to 15
    scale: torch.Tensor  # float16 [rows, groups]
    minimum: torch.Tensor  # float16 [rows, groups]


class Matrix(Protocol):
    """A matrix [out_features, in_features] of a checkpoint. It is read and converted a few rows at a time."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def storage_format(self) -> StorageFormat: ...

    def rows(self, begin: int, end: int) -> torch.Tensor:
        """float32 [end - begin, in_features] on the CPU."""
        ...

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        """The same rows in the file's groups. Only for the storage formats `INT4`."""
        ...


@runtime_checkable
class MappedMatrix(Matrix, Protocol):
    """A matrix whose rows can be read from its file at any time, so that no copy of all of them is needed."""

    def selected_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """float32 [len(rows), in_features] on the CPU; `rows` has their indices, int64."""
        ...


class Weights(Protocol):
    """Tensors under the names that Hugging Face checkpoints use, e.g. `model.layers.0.mlp.up_proj.weight`."""

    def __contains__(self, name: object) -> bool: ...

    def get(self, name: str) -> torch.Tensor:
        """The tensor in float32 on the CPU; a matrix is [out_features, in_features]. KeyError if it is missing."""
        ...

    def matrix(self, name: str) -> Matrix:
        """A tensor of two dimensions. KeyError if it is missing, `ModelLoadError` if it has another number of
        dimensions."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorMatrix:
    """A matrix in memory."""

    tensor: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.tensor.shape
        return rows, columns

    @property
    def storage_format(self) -> StorageFormat:
        found: dict[torch.dtype, StorageFormat] = {torch.bfloat16: "bfloat16", torch.float16: "float16"}
        return found.get(self.tensor.dtype, "float32")

    def rows(self, begin: int, end: int) -> torch.Tensor:
        return self.tensor[begin:end].to(torch.float32)

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        raise TypeError("a tensor is not stored as int4")


def matrix_of(name: str, tensor: torch.Tensor) -> Matrix:
    """The tensor as a matrix. `ModelLoadError` unless it has two dimensions."""
    require_matrix(name, tuple(tensor.shape))
    return TensorMatrix(tensor=tensor)


def require_matrix(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ModelLoadError(
            f"tensor {name!r} has shape {shape}, a matrix was expected: the file is inconsistent; fetch it again."
        )


class StackedMatrix:
    """Several matrices with the same number of columns, stacked by rows. Its storage format holds all of them."""

    def __init__(self, parts: Sequence[Matrix]) -> None:
        self._parts = parts
        self._ends = list(accumulate(part.shape[0] for part in parts))
        self.shape = (self._ends[-1], parts[0].shape[1])
        self.storage_format: StorageFormat = _widest([part.storage_format for part in parts])

    def rows(self, begin: int, end: int) -> torch.Tensor:
        return torch.cat([part.rows(first, last) for part, first, last in self._within(begin, end)])

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        found = [part.int4_rows(first, last) for part, first, last in self._within(begin, end)]
        return Int4Groups(
            values=torch.cat([each.values for each in found]),
            scale=torch.cat([each.scale for each in found]),
            minimum=torch.cat([each.minimum for each in found]),
        )

    def _within(self, begin: int, end: int) -> list[tuple[Matrix, int, int]]:
        """The parts that contain some of these rows, each with its own first and last row (exclusive) of them."""
        found = []
        for part, last in zip(self._parts, self._ends, strict=True):
            first = last - part.shape[0]
            if begin < last and first < end:
                found.append((part, max(begin, first) - first, min(end, last) - first))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSlice:
    """Some rows and columns of a matrix: a rank's part."""

    matrix: Matrix
    row_part: slice
    column_part: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.row_part.stop - self.row_part.start, self.column_part.stop - self.column_part.start

    @property
    def storage_format(self) -> StorageFormat:
        """float32 where the columns cut a group of a quantized matrix."""
        found = self.matrix.storage_format
        cuts = self.column_part.start % GROUP or (self.column_part.stop - self.column_part.start) % GROUP
        return "float32" if cuts and found in (*INT4, "int8") else found

    def rows(self, begin: int, end: int) -> torch.Tensor:
        first = self.row_part.start
        return self.matrix.rows(first + begin, first + end)[:, self.column_part]

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        first = self.row_part.start
        found = self.matrix.int4_rows(first + begin, first + end)
        groups = slice(self.column_part.start // GROUP, self.column_part.stop // GROUP)
        return Int4Groups(
            values=found.values[:, groups].contiguous(),
            scale=found.scale[:, groups].contiguous(),
            minimum=found.minimum[:, groups].contiguous(),
        )


def _widest(formats: Sequence[StorageFormat]) -> StorageFormat:
    """The narrowest format that holds all: float32 for two formats of the same width, neither of which holds the
    other."""
    widest = max(formats, key=_WIDTHS.__getitem__)
    return "float32" if len({found for found in formats if _WIDTHS[found] == _WIDTHS[widest]}) > 1 else widest


def take(weights: Weights, name: str, *shape: int) -> torch.Tensor:
    """The tensor of this name. `ModelLoadError` if it is missing or has another shape."""
    _require(weights, name)
    tensor = weights.get(name)
    _require_shape(name, tuple(tensor.shape), shape)
    return tensor


def take_optional(weights: Weights, name: str, *shape: int) -> torch.Tensor | None:
    """As `take`, but None if the tensor (a bias) is missing."""
    return take(weights, name, *shape) if name in weights else None


def take_matrix(weights: Weights, name: str, rows: int, columns: int) -> Matrix:
    """As `take`, for a matrix, whose values are not read yet."""
    _require(weights, name)
    matrix = weights.matrix(name)
    _require_shape(name, matrix.shape, (rows, columns))
    return matrix


def _require(weights: Weights, name: str) -> None:
    if name not in weights:
        raise ModelLoadError(f"tensor {name!r} is missing: the file is incomplete; fetch it again.")


def _require_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise ModelLoadError(
            f"tensor {name!r} has shape {found}, the model's configuration says {expected}: "
            "the file is inconsistent; fetch it again."
        )
