"""One contract for every attention; and bit for bit the same results from the compiled one, however it is called."""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from serving.core import ScheduledSequence, Sequence, build_batch
from serving.engine.loading import make_attention
from serving.model.attention.base import Attention, AttentionSpec
from serving.model.attention.compiled import CompiledAttention
from serving.model.attention.eager import EagerAttention
from serving.model.attention.flash import VarlenAttention, objection
from serving.model.kernels.library import kernels
from serving.model.layers import Rotary
from serving.model.precision import Precision, choose_precision
from tests.serving.model.forward import BLOCK_SIZE, MAX_LEN, make_sequence
from tests.serving.model.reference_varlen import reference_varlen

LENGTHS = [300, 1, 40, 129]  # past the 128 positions that the kernel takes at once
NUM_BLOCKS = 8 * MAX_LEN // BLOCK_SIZE
EPS = 1e-6
MakeAttention = Callable[..., Attention]


def make_spec(
    *, heads: int = 4, kv_heads: int = 2, head_dim: int = 32, window: int = 0, normed: bool = False
) -> AttentionSpec:
    torch.manual_seed(1)
    rotary = Rotary(head_dim, MAX_LEN, 10000.0, choose_precision("float32", "cpu"))
    norms = (torch.rand(head_dim) + 0.5, torch.rand(head_dim) + 0.5) if normed else (None, None)
    return AttentionSpec(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        scale=head_dim**-0.5,
        rotary=rotary,
        window=window,
        q_norm=norms[0],
        k_norm=norms[1],
        eps=EPS,
    )


SPECS = {
    "grouped": make_spec(),
    "one-group": make_spec(heads=9, kv_heads=1, head_dim=16),
    "no-groups": make_spec(heads=3, kv_heads=3, head_dim=64),
    "window": make_spec(window=7),
    "wide-window": make_spec(window=130),
    "window-of-one": make_spec(window=1),
    "normed": make_spec(normed=True, head_dim=48),
    "gemma": make_spec(heads=4, kv_heads=1, head_dim=256, window=50, normed=True),
}


@pytest.fixture(params=["eager", "compiled", "varlen"])
def make(request: pytest.FixtureRequest) -> MakeAttention:
    if request.param == "compiled" and kernels() is None:
        pytest.skip("no C++ compiler")

    def of(*specs: AttentionSpec, dtype: torch.dtype = torch.float32) -> Attention:
        if request.param == "compiled":
            return CompiledAttention(specs, NUM_BLOCKS, BLOCK_SIZE, dtype)
        cpu = torch.device("cpu")
        if request.param == "varlen":
            if dtype != torch.float32:
                pytest.skip("keys and values are of the queries' type")
            return VarlenAttention(specs, NUM_BLOCKS, BLOCK_SIZE, dtype, cpu, reference_varlen)
        return EagerAttention(specs, NUM_BLOCKS, BLOCK_SIZE, dtype, cpu)

    return of


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Sequences on their way through one layer. `inputs` are [tokens, qkv] of each."""

    attention: Attention
    inputs: list[torch.Tensor]
    sequences: list[Sequence]
    layer: int = 0

    @classmethod
    def of(cls, attention: Attention, inputs: list[torch.Tensor]) -> "Run":
        sequences = [make_sequence([0] * len(rows), index, NUM_BLOCKS) for index, rows in enumerate(inputs)]
        return cls(attention=attention, inputs=inputs, sequences=sequences)

    def all(self, pieces: Seq[int]) -> list[torch.Tensor]:
        """Every sequence to its end: pieces of these lengths, over and over, all sequences in each step."""
        outs: list[list[torch.Tensor]] = [[] for _ in self.sequences]
        step = 0
        while left := [s for s in self.sequences if s.num_uncomputed]:
            for sequence, out in self.step(left, pieces[step % len(pieces)]):
                outs[self.sequences.index(sequence)].append(out)
            step += 1
        return [torch.cat(parts) for parts in outs]

    def step(self, sequences: list[Sequence], most: int) -> list[tuple[Sequence, torch.Tensor]]:
        step = [
            ScheduledSequence(sequence=s, start=s.num_computed, count=min(most, s.num_uncomputed)) for s in sequences
        ]
        batch = build_batch(step, BLOCK_SIZE)
        self.attention.begin(batch)
        rows = [self.inputs[self.sequences.index(i.sequence)][i.start : i.start + i.count] for i in batch.items]
        out = self.attention(self.layer, torch.cat(rows))
        for item in batch.items:
            item.sequence.num_computed += item.count
        parts = torch.split(out, batch.counts.tolist())
        return [(item.sequence, part) for item, part in zip(batch.items, parts, strict=True)]


def make_inputs(spec: AttentionSpec, lengths: Seq[int] = LENGTHS) -> list[torch.Tensor]:
    torch.manual_seed(2)
    return [torch.randn(length, (spec.heads + 2 * spec.kv_heads) * spec.head_dim) for length in lengths]


def expected(spec: AttentionSpec, qkv: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Of one sequence, in float64, but for keys and values, which are rounded as the cache's are."""
    heads, group = spec.heads, spec.heads // spec.kv_heads
    rows = qkv.double().view(len(qkv), -1, spec.head_dim)
    q, k, v = rows[:, :heads], rows[:, heads : heads + spec.kv_heads], rows[:, heads + spec.kv_heads :]
    q, k = (turned(normed(x, norm), spec) for x, norm in ((q, spec.q_norm), (k, spec.k_norm)))
    k, v = (x.float().to(dtype).double().repeat_interleave(group, dim=1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) * spec.scale
    distance = torch.arange(len(qkv))[:, None] - torch.arange(len(qkv))[None, :]
    seen = (distance >= 0) & (distance < (spec.window or MAX_LEN))
    weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, v).reshape(len(qkv), -1)


def normed(x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return x if weight is None else torch.nn.functional.rms_norm(x, (x.shape[-1],), weight.double(), EPS)


def turned(x: torch.Tensor, spec: AttentionSpec) -> torch.Tensor:
    """Pairs as complex numbers, turned by their angle."""
    half = spec.head_dim // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(len(x), dtype=torch.float64)[:, None] * frequencies
    pairs = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)[:, None]
    return torch.cat([pairs.real, pairs.imag], dim=-1)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("pieces", [[MAX_LEN], [50], [1, 33]], ids=["whole", "cut", "mixed"])
def test_a_sequence_attends_over_itself(make: MakeAttention, spec: AttentionSpec, pieces: list[int]) -> None:
    inputs = make_inputs(spec)
    for out, rows in zip(Run.of(make(spec), inputs).all(pieces), inputs, strict=True):
        torch.testing.assert_close(out.double(), expected(spec, rows), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_cache_may_be_of_16_bits(make: MakeAttention, dtype: torch.dtype) -> None:
    spec = SPECS["gemma"]
    inputs = make_inputs(spec)
    for out, rows in zip(Run.of(make(spec, dtype=dtype), inputs).all([40]), inputs, strict=True):
        torch.testing.assert_close(out.double(), expected(spec, rows, dtype), atol=3e-3, rtol=1e-2)


def test_layers_have_caches_of_their_own(make: MakeAttention) -> None:
    specs = [SPECS["grouped"], SPECS["window"]]
    attention, inputs = make(*specs), make_inputs(specs[0])
    first = Run.of(attention, inputs)
    first.all([64])
    changed = [rows.flip(0) for rows in inputs]
    replace(Run.of(attention, changed), layer=1).all([64])
    # Only the last token again: what it sees is what the first layer's cache has kept.
    for sequence in first.sequences:
        sequence.num_computed -= 1
    for sequence, out in first.step(first.sequences, 1):
        rows = inputs[first.sequences.index(sequence)]
        torch.testing.assert_close(out.double(), expected(specs[0], rows)[-1:], atol=2e-5, rtol=1e-4)


def test_a_copied_block_holds_the_same(make: MakeAttention) -> None:
    spec = SPECS["grouped"]
    (rows,) = make_inputs(spec, [40])
    run = Run.of(make(spec), [rows])
    (sequence,) = run.sequences
    run.step([sequence], 39)
    shared, own = sequence.block_table[2], NUM_BLOCKS - 1
    run.attention.copy_block(shared, own)
    sequence.block_table[2] = own
    ((_, out),) = run.step([sequence], 1)
    torch.testing.assert_close(out.double(), expected(spec, rows)[-1:], atol=2e-5, rtol=1e-4)


def test_no_block_beyond_the_context_is_looked_at(make: MakeAttention) -> None:
    """Tables are as wide as the longest sequence's: the rest of a shorter one's is another's block, or none's."""
    spec = SPECS["grouped"]
    inputs = make_inputs(spec, [40, 200])
    run = Run.of(make(spec), inputs)
    run.sequences[0].block_table[3:] = run.sequences[1].block_table[3:]
    for out, rows in zip(run.all([64]), inputs, strict=True):
        torch.testing.assert_close(out.double(), expected(spec, rows), atol=2e-5, rtol=1e-4)


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_attention_gives_the_same_bits_however_it_is_called(
    spec: AttentionSpec, dtype: torch.dtype
) -> None:
    inputs = make_inputs(spec)

    def outputs(inputs: list[torch.Tensor], pieces: Seq[int]) -> list[torch.Tensor]:
        return Run.of(CompiledAttention([spec], NUM_BLOCKS, BLOCK_SIZE, dtype), inputs).all(pieces)

    whole = outputs(inputs, [MAX_LEN])
    for pieces in ([1], [7], [64], [128], [129, 1], [16, 5, 100]):
        assert all(map(torch.equal, outputs(inputs, pieces), whole)), pieces
    alone = [outputs([rows], [100])[0] for rows in inputs]
    assert all(map(torch.equal, alone, whole))
    backwards = outputs(inputs[::-1], [23])[::-1]
    assert all(map(torch.equal, backwards, whole))


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
def test_what_the_kernel_cannot_do_goes_to_pytorch() -> None:
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
def test_kernels_that_compute_attention_pass_their_trial(
    spec: AttentionSpec, dtype: torch.dtype, block_size: int
) -> None:
    norms = {name: norm.to(dtype) for name in ("q_norm", "k_norm") if (norm := getattr(spec, name)) is not None}
    assert objection([replace(spec, **norms)], block_size, sixteen_bits(dtype), reference_varlen) is None


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
def test_kernels_that_compute_something_else_are_not_used(change: dict[str, Any], message: str) -> None:
    def broken(*args: Any, **options: Any) -> torch.Tensor:
        names = ("query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k")
        given = {**dict(zip(names, args, strict=True)), **options, **change}
        if given["block_table"] is None:
            raise RuntimeError("this kernel needs pages\nof 256")
        given["seqused_k"] = given["seqused_k"][: len(given["block_table"])]
        return reference_varlen(**given)

    reason = objection([SPECS["grouped"]], 16, sixteen_bits(), broken)
    assert reason is not None
    assert message in reason


def test_types_that_the_kernels_do_not_take_are_named() -> None:
    single = choose_precision("float32", "cpu")
    assert "not torch.float32" in str(objection([make_spec()], 16, single, reference_varlen))
    mixed = replace(sixteen_bits(), kv_cache=torch.float16)
    assert "not of torch.float16" in str(objection([make_spec()], 16, mixed, reference_varlen))
