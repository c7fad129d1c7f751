"""Matrices of GGUF files that are read a few rows at a time: values and 4-bit groups equal the file's."""

import gguf
import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, dequantize
from gguf import GGMLQuantizationType as Type
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.checkpoint.gguf_matrix import GGUFMatrix
from serving.checkpoint.gguf_reader import RawTensor
from serving.model.kernels.library import kernels
from serving.model.kernels.linear import Format, pack
from serving.model.weights import Int4Groups, Matrix, MatrixSlice, StackedMatrix, TensorMatrix

INT4 = ("Q4_0", "Q4_1", "Q4_K")
few = settings(max_examples=20, deadline=None)


def tensor(kind: str, rows: int, columns: int, seed: int = 0) -> RawTensor:
    """A tensor of random bytes with finite scales."""
    type = Type[kind]
    block, block_bytes = GGML_QUANT_SIZES[type]
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, (rows * columns // block, block_bytes), np.uint8)
    scales = random.uniform(0.001, 0.1, (len(data), 2)).astype(np.float16).view(np.uint8)
    if kind in (*INT4, "Q8_0", "Q5_0", "Q5_K"):
        count = 4 if kind in ("Q4_1", "Q4_K", "Q5_K") else 2
        data[:, :count] = scales[:, :count]
    elif kind == "Q6_K":
        data[:, -2:] = scales[:, :2]
    return RawTensor(name="x", type=type, shape=(rows, columns), data=data.reshape(-1))


def values_of(found: Int4Groups) -> torch.Tensor:
    return (found.values * found.scale.float().unsqueeze(-1) + found.minimum.float().unsqueeze(-1)).flatten(1)


@pytest.mark.parametrize("kind", INT4)
@few
@given(seed=st.integers(0, 2**32), begin=st.integers(0, 20), size=st.integers(1, 20))
def test_int4_groups_have_the_files_values(kind: str, seed: int, begin: int, size: int) -> None:
    raw = tensor(kind, 40, 512, seed)
    matrix = GGUFMatrix(raw)
    assert matrix.storage_format == "int4"
    expected = torch.from_numpy(dequantize(raw.data.reshape(40, -1), raw.type))[begin : begin + size]
    assert torch.equal(matrix.rows(begin, begin + size), expected)
    found = values_of(matrix.int4_rows(begin, begin + size))
    # The scales of a K type are products, rounded to float16.
    largest = 0.1 * 63 * 15 if kind == "Q4_K" else 0.0
    torch.testing.assert_close(found, expected, rtol=0, atol=largest * 2**-10)


@pytest.mark.parametrize("kind", INT4)
@few
@given(data=st.binary(min_size=144 * 2, max_size=144 * 2))
def test_arbitrary_bytes_raise_nothing(kind: str, data: bytes) -> None:
    """The scales of a damaged file may be infinite or NaN."""
    type = Type[kind]
    block, block_bytes = GGML_QUANT_SIZES[type]
    count = len(data) // block_bytes
    bytes_ = np.frombuffer(data, np.uint8)[: count * block_bytes]
    matrix = GGUFMatrix(RawTensor(name="x", type=type, shape=(count, block), data=bytes_))
    found = matrix.int4_rows(0, count)
    assert found.values.max() <= 15
    if kernels() is not None:
        pack(matrix, Format.INT4)


@pytest.mark.parametrize(
    ("kind", "storage"),
    [
        *(("F32", "float32"), ("F16", "float16"), ("BF16", "bfloat16"), ("Q8_0", "int8"), ("Q6_K", "int8")),
        *(("Q5_K", "int8"), ("Q2_K", "int8"), ("IQ4_NL", "int8")),
    ],
)
def test_the_storage_format_of_each_type(kind: str, storage: str) -> None:
    assert GGUFMatrix(tensor(kind, 2, 256)).storage_format == storage


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "Q6_K"])
def test_rows_are_read_in_the_given_order(kind: str) -> None:
    raw = tensor(kind, 8, 256)
    order = np.array([3, 1, 0, 2, 7, 6, 5, 4])
    plain, ordered = GGUFMatrix(raw), GGUFMatrix(raw, order)
    assert torch.equal(ordered.rows(1, 6), plain.rows(0, 8)[order[1:6]])
    if plain.storage_format == "int4":
        assert torch.equal(values_of(ordered.int4_rows(1, 6)), values_of(plain.int4_rows(0, 8))[order[1:6]])


@pytest.mark.parametrize("kind", INT4)
def test_stacked_and_sliced_matrices(kind: str) -> None:
    parts = [GGUFMatrix(tensor(kind, rows, 512, rows)) for rows in (5, 16, 3)]
    stacked = StackedMatrix(parts)
    expected = torch.cat([part.rows(0, part.shape[0]) for part in parts])
    assert stacked.storage_format == "int4"
    assert torch.equal(stacked.rows(4, 22), expected[4:22])
    assert torch.equal(values_of(stacked.int4_rows(4, 22)), torch.cat([values_of_all(part) for part in parts])[4:22])
    sliced = MatrixSlice(matrix=stacked, row_part=slice(2, 20), column_part=slice(128, 384))
    assert sliced.storage_format == "int4"
    assert sliced.shape == (18, 256)
    assert torch.equal(sliced.rows(1, 9), expected[3:11, 128:384])
    assert torch.equal(values_of(sliced.int4_rows(1, 9)), values_of_all(stacked)[3:11, 128:384])
    uneven = MatrixSlice(matrix=stacked, row_part=slice(0, 5), column_part=slice(16, 48))
    assert uneven.storage_format == "float32", "its columns cut a group"


def values_of_all(matrix: Matrix) -> torch.Tensor:
    return values_of(matrix.int4_rows(0, matrix.shape[0]))


@pytest.mark.parametrize(
    ("kinds", "storage"),
    [(("int4", "int8"), "int8"), (("int8", "float16"), "float16"), (("bfloat16", "float16"), "float32")],
)
def test_a_stack_has_the_widest_storage_format_of_its_parts(kinds: tuple[str, ...], storage: str) -> None:
    names = {"int4": "Q4_0", "int8": "Q8_0", "bfloat16": "BF16", "float16": "F16"}
    assert StackedMatrix([GGUFMatrix(tensor(names[kind], 2, 32)) for kind in kinds]).storage_format == storage


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1"])
def test_packing_a_matrix_equals_packing_its_float32_values(kind: str) -> None:
    """Holds if each group has a value 0 and a value 15: quantizing again then finds the same scale and minimum."""
    type = Type[kind]
    raw = tensor(kind, 33, 64)
    block, block_bytes = GGML_QUANT_SIZES[type]
    raw.data.reshape(-1, block_bytes)[:, -1] = 0xF0
    matrix = GGUFMatrix(raw)
    rows = matrix.rows(0, 33)
    assert torch.equal(pack(matrix, Format.INT4), pack(TensorMatrix(tensor=rows), Format.INT4))
    assert block == gguf.GGML_QUANT_SIZES[type][0]
