"""Tensor parallelism: the ranks together compute what one process computes."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from serving.checkpoint.checkpoint import load_checkpoint
from serving.core import ModelLoadError, ScheduledSequence, build_batch
from serving.engine.parallel.runner import decode_step, encode_step
from serving.model.kernels.library import kernels
from serving.model.parallel.group import Group
from serving.model.parallel.split import Share, vocab_widths
from serving.model.precision import Quantization, choose_precision
from serving.testing import make_sequence
from tests.serving.checkpoint.gguf_models import write_gguf_model
from tests.serving.conftest import CheckpointMaker
from tests.serving.model.forward import Forward
from tests.serving.model.test_decoder import CASES, directory_of
from tests.serving.model.threaded_group import on_every_rank

__all__ = ["directory_of"]  # a fixture

PROMPTS = [list(range(7, 60)), [5], list(range(100, 117))]
PIECES = [10, 10, 100]
SPLITTABLE = sorted(case for case in CASES if not case.startswith("gemma3"))  # Gemma's cases have one KV head
TWO_KV_HEADS = {"num_key_value_heads": 2}
THREE_UNEVEN_PARTS = {"num_key_value_heads": 5, "num_attention_heads": 10, "head_dim": 16, "intermediate_size": 320}


def logits(directory: Path, size: int, quantization: Quantization = "none", *, compiled: bool) -> list[torch.Tensor]:
    """The logits [tokens, vocab] of each prompt, from a model on `size` ranks."""
    checkpoint = load_checkpoint(directory)
    precision = choose_precision("float32", "cpu", quantization, compiled=compiled)

    def compute(group: Group) -> list[torch.Tensor]:
        part = group if size > 1 else None
        return Forward.of(checkpoint, precision, compiled=compiled, group=part).logits(PROMPTS, PIECES)

    return on_every_rank(size, compute)[0]


def assert_same(directory: Path, size: int, quantization: Quantization = "none", *, compiled: bool) -> None:
    """Equal except for the rounding of sums."""
    if compiled and kernels() is None:
        pytest.skip("no C++ compiler")
    # A differently rounded sum can move an activation to the next 8-bit step (int4) or 15-bit step (int8).
    tolerance: dict[str, float] = {"none": 2e-4, "int8": 2e-3, "int4": 0.3 if compiled else 2e-3}
    tolerance["auto"] = tolerance["int4"]
    single = logits(directory, 1, quantization, compiled=compiled)
    most = tolerance[quantization]
    for ours, theirs in zip(logits(directory, size, quantization, compiled=compiled), single, strict=True):
        torch.testing.assert_close(ours, theirs, atol=most, rtol=1e-4)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("case", SPLITTABLE)
def test_two_ranks_compute_what_one_computes(directory_of: Callable[[str], Path], case: str, compiled: bool) -> None:
    assert_same(directory_of(case), 2, compiled=compiled)


def test_gemma_can_be_split(make_checkpoint: CheckpointMaker) -> None:
    """Its layers normalize the sums over the ranks."""
    overrides = {**CASES["gemma3"][1], "num_key_value_heads": 2}
    assert_same(make_checkpoint("gemma3", **overrides), 2, compiled=False)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_shares_may_be_unequal(make_checkpoint: CheckpointMaker, compiled: bool) -> None:
    directory = make_checkpoint("qwen2", **THREE_UNEVEN_PARTS)
    assert_same(directory, 3, compiled=compiled)


@pytest.mark.parametrize("quantization", ["int8", "int4"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_quantized_shares_have_the_full_models_values(
    directory_of: Callable[[str], Path], quantization: Quantization, compiled: bool
) -> None:
    assert_same(directory_of("llama-untied-bias"), 2, quantization, compiled=compiled)


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "BF16"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_ranks_compute_with_the_files_weights(
    directory_of: Callable[[str], Path], kind: str, compiled: bool, tmp_path: Path
) -> None:
    path = write_gguf_model(directory_of("llama-untied-bias"), tmp_path / "m.gguf", gguf.GGMLQuantizationType[kind])
    assert_same(path, 2, "auto", compiled=compiled)


def test_no_rank_has_more_than_its_share(directory_of: Callable[[str], Path]) -> None:
    checkpoint = load_checkpoint(directory_of("llama"))
    precision = choose_precision("float32", "cpu", compiled=False)
    single = Forward.of(checkpoint, precision, compiled=False).model

    def part(group: Group) -> tuple[int, int]:
        model = Forward.of(checkpoint, precision, compiled=False, group=group).model
        return model.num_parameters, model.weight_bytes_per_step

    parts = on_every_rank(2, part)
    assert sum(parameters for parameters, _ in parts) == single.num_parameters
    assert sum(size for _, size in parts) == single.weight_bytes_per_step
    assert max(size for _, size in parts) < 0.6 * single.weight_bytes_per_step


def test_shares_cover_the_model_exactly_once(make_checkpoint: CheckpointMaker) -> None:
    config = load_checkpoint(make_checkpoint("qwen2", **THREE_UNEVEN_PARTS)).config
    shares = [Share.of(config, rank, 3) for rank in range(3)]
    assert [share.kv_heads for share in shares] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert [share.queries for share in shares] == [slice(0, 64), slice(64, 128), slice(128, 160)]
    assert [share.intermediate for share in shares] == [slice(0, 128), slice(128, 256), slice(256, 320)]
    assert vocab_widths(config, 3) == [86, 86, 85]


def test_more_ranks_than_kv_heads_are_refused(directory_of: Callable[[str], Path]) -> None:
    config = load_checkpoint(directory_of("llama")).config
    with pytest.raises(ModelLoadError, match=r"tensor_parallel_size 3 is more than the model's 2 KV heads.*use 1 to 2"):
        Share.of(config, 0, 3)


def test_a_step_is_encoded_and_decoded_unchanged() -> None:
    first, second = make_sequence(list(range(40)), 0, 64), make_sequence([7], 1, 64)
    items = [
        ScheduledSequence(sequence=first, start=16, count=20, copies=((3, 9), (4, 8))),
        ScheduledSequence(sequence=second, start=0, count=1),
    ]
    batch = build_batch(items, 16)
    received, copies = decode_step(encode_step(batch, [copy for item in items for copy in item.copies]))
    assert copies == [(3, 9), (4, 8)]
    for name in ("counts", "starts", "token_ids", "positions", "slots", "tables", "sampled_rows"):
        assert np.array_equal(getattr(received, name), getattr(batch, name)), name
    again, none = decode_step(encode_step(batch, []))
    assert none == []
    assert torch.from_numpy(again.token_ids).tolist() == batch.token_ids.tolist(), "without a warning"
