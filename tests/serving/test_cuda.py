"""Compares the engine on a GPU with the engine on the CPU. Skipped without a GPU."""

import importlib.util
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.config import EngineConfig
from serving.engine.engine import LLMEngine
from serving.engine.loading import load_model
from serving.model.attention.flash import VarlenAttention
from serving.model.torchao_linear import TorchaoLinear
from tests.serving.conftest import CheckpointMaker
from tests.serving.engine.test_engine import answers, load, prompts

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
needs_torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="needs torchao")
needs_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA GPUs")

PAGED: dict[str, Any] = {"dtype": "bfloat16", "device": "cuda", "block_size": 256}
MANY = [prompt * 2 for prompt in prompts(16, 40, 256)]


def greedy(path: Path, **knobs: Any) -> list[list[int]]:
    with closing(load(path, **knobs)) as engine:
        return answers(engine, MANY)


def agreement(ours: list[list[int]], theirs: list[list[int]]) -> float:
    """The share of answers that begin with the same three tokens; 16-bit rounding differs between devices."""
    return sum(a[:3] == b[:3] for a, b in zip(ours, theirs, strict=True)) / len(ours)


def test_float32_answers_as_the_cpu_does(tiny_model: Path) -> None:
    assert greedy(tiny_model, device="cuda") == greedy(tiny_model, device="cpu")


def test_the_paged_kernels_are_used_with_blocks_of_256(aligned_model: Path) -> None:
    engine = load(aligned_model, **PAGED)
    assert isinstance(engine._runner._attention, VarlenAttention)  # type: ignore[attr-defined]


def test_the_paged_kernels_answer_as_plain_operators_do(aligned_model: Path) -> None:
    plain = greedy(aligned_model, **PAGED, kv_cache_dtype="float32")  # the paged kernels do not support it
    assert agreement(greedy(aligned_model, **PAGED), plain) > 0.7


@pytest.mark.parametrize("knobs", [{}, {"max_num_seqs": 5}, {"speculative": "ngram"}], ids=str)
def test_graphs_do_not_change_the_answers(aligned_model: Path, knobs: dict[str, Any]) -> None:
    with_graphs = greedy(aligned_model, **PAGED, **knobs)
    assert agreement(with_graphs, greedy(aligned_model, **PAGED, **knobs, cuda_graphs=False)) > 0.7


@needs_torchao
@pytest.mark.parametrize("quantization", ["int8", "int4"])
@pytest.mark.parametrize("cuda_graphs", [True, False])
def test_quantized_weights_run(aligned_model: Path, quantization: str, cuda_graphs: bool) -> None:
    engine = load(aligned_model, **PAGED, quantization=quantization, cuda_graphs=cuda_graphs)
    assert all(len(answer) == 24 for answer in answers(engine, MANY))
    whole = load_model(aligned_model, EngineConfig(dtype="bfloat16", device="cuda"))
    assert engine.model_facts["weight_bytes_per_step"] < whole.facts["weight_bytes_per_step"]


@needs_torchao
@pytest.mark.parametrize(("bits", "tolerance"), [(8, 0.05), (4, 0.25)])
@pytest.mark.parametrize("rows", [1, 16, 17, 40])
@torch.inference_mode()
def test_a_quantized_layer_computes_the_product_up_to_its_rounding(rows: int, bits: Any, tolerance: float) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(257, 128), torch.randn(rows, 128)
    device = torch.device("cuda")
    layer = TorchaoLinear(weight, None, None, bits=bits, device=device, dtype=torch.bfloat16)
    expected = x @ weight.T
    result = layer(x.to(device, torch.bfloat16)).float().cpu()
    assert float((result - expected).abs().max()) < tolerance * float(expected.abs().max())


@needs_two
def test_two_gpus_answer_as_one_does(tiny_model: Path, aligned_model: Path) -> None:
    assert greedy(tiny_model, device="cuda", tensor_parallel_size=2) == greedy(tiny_model, device="cuda")
    two = greedy(aligned_model, **PAGED, tensor_parallel_size=2)
    assert agreement(two, greedy(aligned_model, **PAGED)) > 0.7


def test_more_ranks_than_gpus_are_refused(make_checkpoint: CheckpointMaker) -> None:
    heads = torch.cuda.device_count() + 1
    path = make_checkpoint("llama", num_key_value_heads=heads, num_attention_heads=heads, head_dim=16)
    with pytest.raises(ValueError, match=f"tensor_parallel_size {heads} needs as many GPUs"):
        LLMEngine.load(path, EngineConfig(device="cuda", tensor_parallel_size=heads))
