"""Every attention passes the contract. The compiled one gives the same bits however a prompt is split."""

from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import Any

import pytest
import torch

from serving.engine.loading import make_attention
from serving.model.attention.base import Attention, AttentionSpec
from serving.model.attention.compiled import CompiledAttention
from serving.model.attention.eager import EagerAttention
from serving.model.attention.flash import VarlenAttention, unusable_reason
from serving.model.kernels.library import kernels
from serving.model.precision import Precision, choose_precision
from serving.testing import (
    BLOCK_SIZE,
    MAX_LEN,
    NUM_BLOCKS,
    SPECS,
    AttentionContract,
    LayerRun,
    MakeAttention,
    make_inputs,
    make_spec,
)
from tests.serving.model.reference_varlen import reference_varlen

CPU = torch.device("cpu")


class TestEager(AttentionContract):
    @pytest.fixture
    def make(self) -> MakeAttention:
        def of(*specs: AttentionSpec, dtype: torch.dtype = torch.float32) -> Attention:
            return EagerAttention(specs, NUM_BLOCKS, BLOCK_SIZE, dtype, CPU)

        return of


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
class TestCompiled(AttentionContract):
    @pytest.fixture
    def make(self) -> MakeAttention:
        def of(*specs: AttentionSpec, dtype: torch.dtype = torch.float32) -> Attention:
            return CompiledAttention(specs, NUM_BLOCKS, BLOCK_SIZE, dtype)

        return of


class TestVarlen(AttentionContract):
    """`VarlenAttention` with a reference implementation in place of the GPU's kernels."""

    @pytest.fixture
    def make(self) -> MakeAttention:
        def of(*specs: AttentionSpec, dtype: torch.dtype = torch.float32) -> Attention:
            if dtype != torch.float32:
                pytest.skip("keys and values are of the queries' type")
            return VarlenAttention(specs, NUM_BLOCKS, BLOCK_SIZE, dtype, CPU, reference_varlen)

        return of


class Broken(EagerAttention):
    """Copies no block, has one cache for all layers, and ignores windows and norms."""

    def __init__(self, *specs: AttentionSpec, dtype: torch.dtype = torch.float32) -> None:
        plain = [replace(spec, window=0, q_norm=None, k_norm=None) for spec in specs]
        super().__init__(plain, NUM_BLOCKS, BLOCK_SIZE, dtype, CPU)

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        return super().__call__(0, qkv)

    def copy_block(self, source: int, target: int) -> None:
        return


@pytest.mark.parametrize(
    ("broken", "arguments"),
    [
        ("a_sequence_attends_over_itself", [SPECS["window"], [50]]),
        ("a_sequence_attends_over_itself", [SPECS["normed"], [50]]),
        ("the_cache_may_have_16_bits", [torch.bfloat16]),
        ("each_layer_has_its_own_cache", []),
        ("copy_block_copies_keys_and_values", []),
    ],
)
def test_an_attention_that_breaks_the_contract_fails_it(broken: str, arguments: list[Any]) -> None:
    with pytest.raises(AssertionError, match="not close"):
        getattr(AttentionContract(), f"test_{broken}")(Broken, *arguments)


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_attention_gives_the_same_bits_however_a_prompt_is_split(
    spec: AttentionSpec, dtype: torch.dtype
) -> None:
    inputs = make_inputs(spec)

    def outputs(inputs: list[torch.Tensor], pieces: Seq[int]) -> list[torch.Tensor]:
        return LayerRun.start(CompiledAttention([spec], NUM_BLOCKS, BLOCK_SIZE, dtype), inputs).finish(pieces)

    unsplit = outputs(inputs, [MAX_LEN])
    for pieces in ([1], [7], [64], [128], [129, 1], [16, 5, 100]):
        assert all(map(torch.equal, outputs(inputs, pieces), unsplit)), pieces
    alone = [outputs([rows], [100])[0] for rows in inputs]
    assert all(map(torch.equal, alone, unsplit))
    backwards = outputs(inputs[::-1], [23])[::-1]
    assert all(map(torch.equal, backwards, unsplit))


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
def test_layers_that_the_kernel_does_not_support_run_on_pytorch() -> None:
    precision = choose_precision("float32", "cpu")
    cases = (
        (make_spec(), 16, CompiledAttention),
        (make_spec(), 8, EagerAttention),
        (make_spec(head_dim=24), 16, EagerAttention),
    )
    for spec, block_size, kind in cases:
        assert isinstance(make_attention([spec], precision, block_size, 4, compiled=True), kind)
    assert isinstance(make_attention([make_spec()], precision, 16, 4, compiled=False), EagerAttention)


def sixteen_bits(dtype: torch.dtype = torch.bfloat16) -> Precision:
    return Precision(weights=dtype, activations=dtype, kv_cache=dtype, device=torch.device("cpu"))


@pytest.mark.parametrize("block_size", [16, 256])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_correct_kernels_pass_the_trial(spec: AttentionSpec, dtype: torch.dtype, block_size: int) -> None:
    norms = {name: norm.to(dtype) for name in ("q_norm", "k_norm") if (norm := getattr(spec, name)) is not None}
    assert unusable_reason([replace(spec, **norms)], block_size, sixteen_bits(dtype), reference_varlen) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_size": (-1, -1)}, "off by"),  # not causal
        ({"scale": 1.0}, "off by"),
        ({"seqused_k": torch.tensor([1, 1, 1], dtype=torch.int32)}, "off by"),
        ({"value": torch.full((99, 16, 2, 32), torch.nan, dtype=torch.bfloat16)}, "off by inf"),
        ({"block_table": None}, "needs pages of 256"),
    ],
)
def test_wrong_kernels_are_not_used(change: dict[str, Any], message: str) -> None:
    def broken(*args: Any, **options: Any) -> torch.Tensor:
        names = ("query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k")
        given = {**dict(zip(names, args, strict=True)), **options, **change}
        if given["block_table"] is None:
            raise RuntimeError("this kernel needs pages\nof 256")
        given["seqused_k"] = given["seqused_k"][: len(given["block_table"])]
        return reference_varlen(**given)

    reason = unusable_reason([SPECS["grouped"]], 16, sixteen_bits(), broken)
    assert reason is not None
    assert message in reason


def test_types_that_the_kernels_do_not_support_are_named() -> None:
    single = choose_precision("float32", "cpu")
    assert "not torch.float32" in str(unusable_reason([make_spec()], 16, single, reference_varlen))
    mixed = replace(sixteen_bits(), kv_cache=torch.float16)
    assert "not of torch.float16" in str(unusable_reason([make_spec()], 16, mixed, reference_varlen))
