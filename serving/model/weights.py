"""Where tensors come from: vectors in float32, and matrices that are read a few rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol

import torch

from serving.core import ModelLoadError

GROUP = 32
"""Weights of a row that share a scale."""

Stored = Literal["int4", "int8", "bfloat16", "float16", "float32"]
"""The narrowest of our formats that holds what a file stores, but for a rounding of scales to 16 bits."""

_WIDTHS: dict[Stored, int] = {"int4": 4, "int8": 8, "bfloat16": 16, "float16": 16, "float32": 32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Int4Groups:
    """Rows of a matrix: values * step + least, with a step and a least value for each group of 32."""

    values: torch.Tensor  # uint8 [rows, groups, 32], 0 to 15
    step: torch.Tensor  # float16 [rows, groups]
    least: torch.Tensor  # float16 [rows, groups]


class Matrix(Protocol):
    """A matrix [out_features, in_features] of a checkpoint; it is never whole in float32 unless it is asked for."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def stored(self) -> Stored: ...

    def rows(self, begin: int, end: int) -> torch.Tensor:
        """float32 [end - begin, in_features] on the CPU."""
        ...

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        """The same rows as the file has them, where `stored` is int4."""
        ...


class Weights(Protocol):
    """Tensors under the names that Hugging Face checkpoints use, e.g. `model.layers.0.mlp.up_proj.weight`."""

    def __contains__(self, name: object) -> bool: ...

    def get(self, name: str) -> torch.Tensor:
        """The tensor in float32 on the CPU; a matrix is [out_features, in_features]. KeyError if missing."""
        ...

    def matrix(self, name: str) -> Matrix:
        """The same for a tensor of two dimensions; KeyError if missing, `ModelLoadError` if it has not two."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorMatrix:
    """A matrix that is a tensor already."""

    tensor: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.tensor.shape
        return rows, columns

    @property
    def stored(self) -> Stored:
        found: dict[torch.dtype, Stored] = {torch.bfloat16: "bfloat16", torch.float16: "float16"}
        return found.get(self.tensor.dtype, "float32")

    def rows(self, begin: int, end: int) -> torch.Tensor:
        return self.tensor[begin:end].to(torch.float32)

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        raise TypeError("a tensor is not stored as int4")


def matrix_of(name: str, tensor: torch.Tensor) -> Matrix:
    """`ModelLoadError` when the tensor has not two dimensions."""
    require_matrix(name, tuple(tensor.shape))
    return TensorMatrix(tensor=tensor)


def require_matrix(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ModelLoadError(
            f"tensor {name!r} has shape {shape}, a matrix was expected: the file is inconsistent; fetch it again."
        )


class StackedMatrix:
    """Several matrices of as many columns, one below the other. They are stored as the widest of them."""

    def __init__(self, parts: Sequence[Matrix]) -> None:
        self._parts = parts
        self._ends = list(accumulate(part.shape[0] for part in parts))
        self.shape = (self._ends[-1], parts[0].shape[1])
        self.stored: Stored = _widest([part.stored for part in parts])

    def rows(self, begin: int, end: int) -> torch.Tensor:
        return torch.cat([part.rows(first, last) for part, first, last in self._within(begin, end)])

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        found = [part.int4_rows(first, last) for part, first, last in self._within(begin, end)]
        return Int4Groups(
            values=torch.cat([each.values for each in found]),
            step=torch.cat([each.step for each in found]),
            least=torch.cat([each.least for each in found]),
        )

    def _within(self, begin: int, end: int) -> list[tuple[Matrix, int, int]]:
        """The parts that have some of these rows, with which of their own rows those are."""
        found = []
        for part, last in zip(self._parts, self._ends, strict=True):
            first = last - part.shape[0]
            if begin < last and first < end:
                found.append((part, max(begin, first) - first, min(end, last) - first))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PartMatrix:
    """Some rows and columns of a matrix, as a rank has them."""

    matrix: Matrix
    row_part: slice
    column_part: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.row_part.stop - self.row_part.start, self.column_part.stop - self.column_part.start

    @property
    def stored(self) -> Stored:
        """A part whose columns cut a group is no more in groups of 32."""
        cuts = self.column_part.start % GROUP or (self.column_part.stop - self.column_part.start) % GROUP
        return "float32" if cuts and self.matrix.stored in ("int4", "int8") else self.matrix.stored

    def rows(self, begin: int, end: int) -> torch.Tensor:
        first = self.row_part.start
        return self.matrix.rows(first + begin, first + end)[:, self.column_part]

    def int4_rows(self, begin: int, end: int) -> Int4Groups:
        first = self.row_part.start
        found = self.matrix.int4_rows(first + begin, first + end)
        groups = slice(self.column_part.start // GROUP, self.column_part.stop // GROUP)
        return Int4Groups(
            values=found.values[:, groups].contiguous(),
            step=found.step[:, groups].contiguous(),
            least=found.least[:, groups].contiguous(),
        )


def _widest(stored: Sequence[Stored]) -> Stored:
    """Of float16 and bfloat16 neither holds the other."""
    widest = max(stored, key=_WIDTHS.__getitem__)
    return "float32" if {"bfloat16", "float16"} <= set(stored) else widest


def take(weights: Weights, name: str, *shape: int) -> torch.Tensor:
    """A tensor that must be there and have this shape; `ModelLoadError` otherwise."""
    _require(weights, name)
    tensor = weights.get(name)
    _require_shape(name, tuple(tensor.shape), shape)
    return tensor


def take_optional(weights: Weights, name: str, *shape: int) -> torch.Tensor | None:
    """As `take`, or None when there is no such tensor (a bias)."""
    return take(weights, name, *shape) if name in weights else None


def take_matrix(weights: Weights, name: str, rows: int, columns: int) -> Matrix:
    """As `take`, a matrix that is not read yet."""
    _require(weights, name)
    matrix = weights.matrix(name)
    _require_shape(name, matrix.shape, (rows, columns))
    return matrix


def _require(weights: Weights, name: str) -> None:
    if name not in weights:
        raise ModelLoadError(f"tensor {name!r} is missing: the file is incomplete; fetch it again.")


def _require_shape(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise ModelLoadError(
            f"tensor {name!r} has shape {found}, the model's configuration says {wanted}: "
            "the file is inconsistent; fetch it again."
        )
