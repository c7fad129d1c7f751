"""Tensors of every type that `gguf` supports, and corrupt files."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.checkpoint.gguf_reader import RawTensor, is_gguf, read_gguf
from tests.serving.checkpoint.gguf_models import write

KINDS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
VALUES: dict[str, Any] = {"uint32": 7, "int32": -7, "uint64": 2**40, "float32": 0.5, "bool": True, "string": "añb"}


def write_file(path: Path, tensors: dict[str, np.ndarray[Any, Any]], kind: str = "F32") -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in VALUES.items():
        getattr(writer, f"add_{name}")(f"a.{name}", value)
    writer.add_array("a.strings", ["x", "", "日本"])
    writer.add_array("a.numbers", [1, 2, 3])
    for name, tensor in tensors.items():
        type_ = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, gguf.quantize(tensor, type_), raw_dtype=type_)
    write(writer)
    return path


def test_metadata_is_read_by_key(tmp_path: Path) -> None:
    content = read_gguf(write_file(tmp_path / "m.gguf", {}))
    assert {name: content.metadata[f"a.{name}"] for name in VALUES} == VALUES
    assert content.metadata["a.strings"] == ["x", "", "日本"]
    assert content.metadata["a.numbers"] == [1, 2, 3]
    assert content.metadata["general.architecture"] == "llama"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(32,), (1, 64), (7, 96), (48, 32), (2, 3, 64)])
def test_a_tensor_is_dequantized_as_by_gguf(kind: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    tensor = read_gguf(write_file(tmp_path / "m.gguf", {"other": array, "t": array}, kind)).tensors["t"]
    type_ = gguf.GGMLQuantizationType[kind]
    expected = gguf.dequantize(gguf.quantize(array, type_), type_)
    actual = tensor.dequantized()
    assert tensor.shape == actual.shape == shape
    assert actual.dtype == np.float32
    assert actual.flags.writeable
    np.testing.assert_array_equal(actual, expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 20))
def test_any_number_of_rows_is_dequantized(rows: int, blocks: int) -> None:
    type_ = gguf.GGMLQuantizationType.Q4_1
    data = np.random.default_rng(rows).integers(0, 100, (rows, blocks * 20), dtype=np.uint8)
    tensor = RawTensor(name="t", type=type_, shape=(rows, blocks * 32), data=data.reshape(-1))
    np.testing.assert_array_equal(tensor.dequantized(), gguf.dequantize(data, type_))


@pytest.mark.long
def test_a_tensor_is_dequantized_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.checkpoint.gguf_reader._VALUES_PER_CALL", 100)
    test_any_number_of_rows_is_dequantized()


def test_a_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    array = np.ones((4, 32), np.float32)
    whole = write_file(tmp_path / "m.gguf", {"t": array}).read_bytes()
    path = tmp_path / "cut.gguf"
    # The writer adds no padding after the last tensor: its data end the file.
    for size in (*range(4, 400, 13), len(whole) - array.nbytes, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"needed|ends at byte|do not fit|version"):
            read_gguf(path)


@pytest.mark.parametrize(("content", "found"), [(b"GGUF", True), (b"GGU", False), (b"", False), (b"\x93NUMPY", False)])
def test_a_gguf_file_is_recognized_by_its_first_bytes(content: bytes, found: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert is_gguf(path) is found
