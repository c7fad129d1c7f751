"""Parses a GGUF file: its metadata, and the position of each tensor.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The `gguf` package has a reader too. This one opens
a vocabulary of 262144 tokens in a tenth of the time, and never reads past the end of a truncated file.
"""

import mmap
import struct
from dataclasses import dataclass
from math import gcd, prod
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, dequantize
from numpy.typing import NDArray

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_DEFAULT_ALIGNMENT = 32  # bytes
_MAX_DIMENSIONS = 4
_NUMBERS = {
    GGUFValueType.UINT8: "<u1",
    GGUFValueType.INT8: "<i1",
    GGUFValueType.UINT16: "<u2",
    GGUFValueType.INT16: "<i2",
    GGUFValueType.UINT32: "<u4",
    GGUFValueType.INT32: "<i4",
    GGUFValueType.FLOAT32: "<f4",
    GGUFValueType.BOOL: "?",
    GGUFValueType.UINT64: "<u8",
    GGUFValueType.INT64: "<i8",
    GGUFValueType.FLOAT64: "<f8",
}
_MIN_STRING_BYTES = 8  # the length field of an empty string
_DEQUANTIZE_ROWS = 16  # rows that `dequantize` converts at once
_VALUES_IN_CACHE = 2**18  # values converted at once that fit in the processor's cache
_VALUES_PER_CALL = 2**23  # values converted by one call of `dequantize`, which needs memory for a copy of them


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTensor:
    """A tensor in the file's format."""

    name: str
    type: GGMLQuantizationType
    shape: tuple[int, ...]  # rows first
    data: NDArray[np.uint8]  # a view of the file
    file: mmap.mmap | None = None
    begin: int = 0  # of the data in the file

    def dequantized(self) -> NDArray[np.float32]:
        """A new array of the tensor's values; releases the file's pages. NotImplementedError for a type that `gguf`
        can't dequantize."""
        values = _dequantized(self.data.reshape(prod(self.shape[:-1]), -1), self.type, self.shape[-1])
        self.release_pages()
        return values.reshape(self.shape)

    def dequantized_rows(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """The values of these rows of a matrix. NotImplementedError as in `dequantized`."""
        return _dequantized(self.data.reshape(self.shape[0], -1)[rows], self.type, self.shape[-1])

    def release_pages(self) -> None:
        """Removes the tensor's pages from this process's resident memory. They stay in the system's page cache."""
        begin = -(-self.begin // mmap.PAGESIZE) * mmap.PAGESIZE
        size = self.begin + self.data.nbytes - begin
        if self.file is not None and size > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED, begin, size)


def _dequantized(data: NDArray[np.uint8], kind: GGMLQuantizationType, columns: int) -> NDArray[np.float32]:
    """Dequantizes rows [rows, bytes] to values [rows, columns]."""
    # The package converts a few rows at a time. Several short rows joined into one are converted several times faster.
    rows = len(data)
    joined = max(1, _VALUES_IN_CACHE // _DEQUANTIZE_ROWS // columns)
    count = rows // gcd(rows, 2 ** (joined.bit_length() - 1))
    data, values = data.reshape(count, -1), np.empty((count, rows * columns // count), np.float32)
    step = max(1, _VALUES_PER_CALL // values.shape[1])
    for row in range(0, count, step):
        values[row : row + step] = dequantize(data[row : row + step], kind)
    return values.reshape(rows, columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class GGUFContent:
    """The content of a file: its metadata and its tensors, by name."""

    metadata: dict[str, Any]
    tensors: dict[str, RawTensor]


def is_gguf(path: Path) -> bool:
    """Whether the file begins with GGUF's magic bytes."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_gguf(path: Path) -> GGUFContent:
    """The file's content. Tensors are mapped, not read.

    A corrupt file raises ValueError, or another exception that Python raises for invalid lengths, types or names.
    """
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    cursor = _Cursor(data)
    if cursor.take(len(_MAGIC)) != _MAGIC or (version := cursor.number("<I")) not in _VERSIONS:
        raise ValueError(f"the version is not one of {_VERSIONS}")
    num_tensors, num_keys = cursor.number("<Q"), cursor.number("<Q")
    metadata: dict[str, Any] = {"GGUF.version": version}
    for _ in range(num_keys):
        key = cursor.string()
        metadata[key] = cursor.value(GGUFValueType(cursor.number("<I")))
    infos = [_tensor_info(cursor) for _ in range(num_tensors)]
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    begin = -(-cursor.offset // alignment) * alignment
    tensors = {name: _tensor(data, begin + offset, name, kind, shape) for name, kind, shape, offset in infos}
    return GGUFContent(metadata=metadata, tensors=tensors)


class _Cursor:
    """Reads the file's values in order. `offset` is the position of the next one. ValueError at the file's end."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.offset = 0

    def take(self, size: int) -> bytes:
        begin, end = self.offset, self.offset + size
        if end > len(self._data):
            raise ValueError(f"{end} bytes are needed, the file has {len(self._data)}")
        self.offset = end
        return self._data[begin:end]

    def number(self, format: str) -> int:
        (value,) = struct.unpack(format, self.take(struct.calcsize(format)))
        return int(value)

    def string(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8")

    def value(self, kind: GGUFValueType) -> Any:
        if kind == GGUFValueType.STRING:
            return self.string()
        if kind == GGUFValueType.ARRAY:
            return self._array(GGUFValueType(self.number("<I")), self.number("<Q"))
        return self._numbers(kind, 1)[0]

    def _array(self, kind: GGUFValueType, count: int) -> list[Any]:
        if kind != GGUFValueType.STRING:
            return self._numbers(kind, count)
        if count > (len(self._data) - self.offset) // _MIN_STRING_BYTES:
            raise ValueError(f"{count} strings do not fit into the rest of the file")
        return [self.string() for _ in range(count)]

    def _numbers(self, kind: GGUFValueType, count: int) -> list[Any]:
        dtype = np.dtype(_NUMBERS[kind])
        values: list[Any] = np.frombuffer(self.take(dtype.itemsize * count), dtype).tolist()
        return values


def _tensor_info(cursor: _Cursor) -> tuple[str, GGMLQuantizationType, tuple[int, ...], int]:
    """A tensor's name, type, shape, and offset in bytes from the begin of the tensor data."""
    name, dimensions = cursor.string(), cursor.number("<I")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise ValueError(f"tensor {name!r} has {dimensions} dimensions")
    shape = [cursor.number("<Q") for _ in range(dimensions)]
    return name, GGMLQuantizationType(cursor.number("<I")), tuple(reversed(shape)), cursor.number("<Q")


def _tensor(data: mmap.mmap, begin: int, name: str, kind: GGMLQuantizationType, shape: tuple[int, ...]) -> RawTensor:
    block, block_bytes = GGML_QUANT_SIZES[kind]
    if not prod(shape) or shape[-1] % block:
        raise ValueError(f"tensor {name!r} of shape {shape} is empty or has no whole blocks of {block}")
    size = prod(shape) // block * block_bytes
    if begin + size > len(data):
        raise ValueError(f"tensor {name!r} ends at byte {begin + size}, the file at {len(data)}")
    view = np.frombuffer(data, np.uint8, size, begin)
    return RawTensor(name=name, type=kind, shape=shape, data=view, file=data, begin=begin)
