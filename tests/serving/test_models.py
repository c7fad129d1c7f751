from pathlib import Path
from typing import Any

import pytest
import torch

from serving.attention import KVCache
from serving.batch import CacheLayout, build_batch
from serving.linear import PackedHalfLinear, choose_precision, make_linear
from serving.loader import load_checkpoint
from serving.models.registry import build_model
from serving.request import Request, SamplingParams
from serving.scheduler import ScheduledSequence
from serving.sequence import Sequence
from serving.weights import ModelLoadError, take
from tests.serving.conftest import CheckpointMaker

PROMPTS = [list(range(7, 60)), [5], list(range(100, 117))]


def our_logits(directory: Path, dtype: str, pieces: list[int]) -> list[torch.Tensor]:
    """Logits [tokens, vocab] of each prompt, all prompts computed together in pieces of these lengths."""
    checkpoint = load_checkpoint(directory)
    precision = choose_precision(dtype, "cpu")
    model = build_model(checkpoint.config, checkpoint.weights, precision)
    layout = CacheLayout(
        block_size=4,
        num_kv_heads=checkpoint.config.num_kv_heads,
        dtype=precision.activations,
        device=precision.device,
    )
    cache = KVCache(layout, 60, checkpoint.config.num_layers, checkpoint.config.head_dim)
    sequences = [make_sequence(i, prompt) for i, prompt in enumerate(PROMPTS)]
    rows: list[list[torch.Tensor]] = [[] for _ in PROMPTS]
    for length in pieces:
        step = [
            ScheduledSequence(sequence=s, start=s.num_computed, count=min(length, s.num_uncomputed))
            for s in sequences
            if s.num_uncomputed
        ]
        batch = build_batch(step, layout)
        logits = model.logits(model.hidden(batch, cache))
        order = [item for item in step if item.count == 1] + [item for item in step if item.count > 1]
        for item, part in zip(order, torch.split(logits, [item.count for item in order]), strict=True):
            rows[sequences.index(item.sequence)].append(part)
            item.sequence.num_computed += item.count
    return [torch.cat(parts) for parts in rows]


def make_sequence(index: int, prompt: list[int]) -> Sequence:
    request = Request(id=str(index), prompt_ids=prompt, params=SamplingParams(), on_delta=lambda delta: None)
    sequence = Sequence.of(request, 512)
    # Scattered blocks, so that a mistaken address shows.
    sequence.block_table += [(index + 3 * i) % 60 for i in range(20)]
    return sequence


@torch.inference_mode()
@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 6},
        {"attention_bias": True},
        {"head_dim": 16, "rope_theta": 500000.0},
    ],
    ids=["tied", "untied", "no-gqa", "bias", "head-dim"],
)
@pytest.mark.parametrize("pieces", [[100], [10, 10, 100], [1] * 53], ids=["whole", "chunked", "one-by-one"])
def test_logits_equal_transformers(
    overrides: dict[str, Any], pieces: list[int], make_checkpoint: CheckpointMaker, transformers: Any
) -> None:
    directory = make_checkpoint(**overrides)
    reference = transformers.LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    for prompt, logits in zip(PROMPTS, our_logits(directory, "float32", pieces), strict=True):
        expected = reference(torch.tensor([prompt])).logits[0]
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_sixteen_bit_weights_stay_close(dtype: str, tolerance: float, tiny_model: Path) -> None:
    exact = our_logits(tiny_model, "float32", [100])
    for logits, expected in zip(our_logits(tiny_model, dtype, [100]), exact, strict=True):
        error = (logits - expected).norm() / expected.norm()
        assert float(error) < tolerance


def test_packed_weights_equal_rounded_ones() -> None:
    weight, bias = torch.randn(64, 32) * 0.1, torch.randn(64)
    rounded = weight.to(torch.bfloat16).float()
    x = torch.randn(5, 32)
    packed = PackedHalfLinear(rounded, bias)
    torch.testing.assert_close(packed(x), x @ rounded.T + bias, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(choose_precision("bfloat16", "cpu").activations == torch.bfloat16, reason="native bfloat16")
def test_weights_beyond_half_precision_are_kept_in_float32() -> None:
    layer = make_linear([torch.full((4, 4), 1e5)], [None], choose_precision("bfloat16", "cpu"))
    assert not isinstance(layer, PackedHalfLinear)
    expected = float(torch.tensor(1e5).to(torch.bfloat16)) * 4
    assert layer(torch.ones(1, 4))[0, 0].item() == pytest.approx(expected)


def test_a_tensor_of_the_wrong_shape_is_named(tiny_model: Path) -> None:
    weights = load_checkpoint(tiny_model).weights
    with pytest.raises(ModelLoadError, match=r"'model.norm.weight' has shape \(48,\).*\(49,\)"):
        take(weights, "model.norm.weight", 49)
    with pytest.raises(ModelLoadError, match=r"'model.other.weight' is missing"):
        take(weights, "model.other.weight", 49)
