"""The contract of attention as a pytest class. Subclass it in your tests and define its fixture `make`.

from serving.testing import BLOCK_SIZE, NUM_BLOCKS, AttentionContract, MakeAttention

class TestMine(AttentionContract):
    @pytest.fixture
    def make(self) -> MakeAttention:
        return lambda *specs, dtype=torch.float32: MyAttention(specs, NUM_BLOCKS, BLOCK_SIZE, dtype)
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace

import pytest
import torch

from serving.core import Request, SamplingParams, ScheduledSequence, Sequence, build_batch
from serving.model.attention.base import Attention, AttentionSpec
from serving.model.layers import Rotary
from serving.model.precision import choose_precision

__all__ = ["BLOCK_SIZE", "MAX_LEN", "NUM_BLOCKS", "AttentionContract", "MakeAttention", "make_sequence"]

MAX_LEN = 512
BLOCK_SIZE = 16
NUM_BLOCKS = 8 * MAX_LEN // BLOCK_SIZE
LENGTHS = [300, 1, 40, 129]  # two exceed the 128 positions that a kernel may process at once
EPS = 1e-6
MakeAttention = Callable[..., Attention]
"""Takes a spec for each layer, and the cache's `dtype`. The cache has `NUM_BLOCKS` blocks of `BLOCK_SIZE` slots."""


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


def make_sequence(prompt: list[int], index: int, num_blocks: int) -> Sequence:
    """A sequence with scattered blocks, so that a wrong address changes the result. Indices 0 to 7 share no block."""
    request = Request(id=str(index), prompt_ids=prompt, params=SamplingParams(), on_delta=lambda delta: None)
    sequence = Sequence.of(request, MAX_LEN)
    blocks = list(range(index, num_blocks // 8 * 8, 8))
    sequence.block_table += blocks[::2] + blocks[1::2][::-1]
    return sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRun:
    """Sequences that one layer computes step by step. `inputs` has [tokens, qkv] for each sequence."""

    attention: Attention
    inputs: list[torch.Tensor]
    sequences: list[Sequence]
    layer: int = 0

    @classmethod
    def start(cls, attention: Attention, inputs: list[torch.Tensor]) -> "LayerRun":
        sequences = [make_sequence([0] * len(rows), index, NUM_BLOCKS) for index, rows in enumerate(inputs)]
        return cls(attention=attention, inputs=inputs, sequences=sequences)

    def finish(self, chunk_sizes: Seq[int]) -> list[torch.Tensor]:
        """Compute all tokens of every sequence; returns [tokens, heads * head_dim] for each.

        Every step computes a chunk of each unfinished sequence. The chunk sizes are used in turn.
        """
        outs: list[list[torch.Tensor]] = [[] for _ in self.sequences]
        step = 0
        while unfinished := [s for s in self.sequences if s.num_uncomputed]:
            for sequence, out in self.step(unfinished, chunk_sizes[step % len(chunk_sizes)]):
                outs[self.sequences.index(sequence)].append(out)
            step += 1
        return [torch.cat(parts) for parts in outs]

    def step(self, sequences: list[Sequence], chunk_size: int) -> list[tuple[Sequence, torch.Tensor]]:
        """Compute up to `chunk_size` tokens of each; returns each sequence with its [tokens, heads * head_dim]."""
        step = [
            ScheduledSequence(sequence=s, start=s.num_computed, count=min(chunk_size, s.num_uncomputed))
            for s in sequences
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


def reference_attention(spec: AttentionSpec, qkv: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Causal attention over one sequence [tokens, qkv] in float64; returns [tokens, heads * head_dim].

    Keys and values are rounded to `dtype`, as the cache rounds them.
    """
    heads, group = spec.heads, spec.heads // spec.kv_heads
    rows = qkv.double().view(len(qkv), -1, spec.head_dim)
    q, k, v = rows[:, :heads], rows[:, heads : heads + spec.kv_heads], rows[:, heads + spec.kv_heads :]
    q, k = (rotate(rms_norm(x, norm), spec) for x, norm in ((q, spec.q_norm), (k, spec.k_norm)))
    k, v = (x.float().to(dtype).double().repeat_interleave(group, dim=1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) * spec.scale
    distance = torch.arange(len(qkv))[:, None] - torch.arange(len(qkv))[None, :]
    visible = (distance >= 0) & (distance < (spec.window or MAX_LEN))
    weights = scores.masked_fill(~visible, float("-inf")).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, v).reshape(len(qkv), -1)


def rms_norm(x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return x if weight is None else torch.nn.functional.rms_norm(x, (x.shape[-1],), weight.double(), EPS)


def rotate(x: torch.Tensor, spec: AttentionSpec) -> torch.Tensor:
    """Rotary embedding (Su et al. 2021): dimensions i and i + half form a complex number, rotated by its angle."""
    half = spec.head_dim // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(len(x), dtype=torch.float64)[:, None] * frequencies
    pairs = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)[:, None]
    return torch.cat([pairs.real, pairs.imag], dim=-1)


class AttentionContract:
    """The tests that every attention must pass. A subclass defines the fixture `make`, a `MakeAttention`."""

    @pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
    @pytest.mark.parametrize("chunk_sizes", [[MAX_LEN], [50], [1, 33]], ids=["one-chunk", "equal-chunks", "mixed"])
    def test_a_sequence_attends_over_itself(
        self, make: MakeAttention, spec: AttentionSpec, chunk_sizes: list[int]
    ) -> None:
        inputs = make_inputs(spec)
        for out, rows in zip(LayerRun.start(make(spec), inputs).finish(chunk_sizes), inputs, strict=True):
            torch.testing.assert_close(out.double(), reference_attention(spec, rows), atol=2e-5, rtol=1e-4)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_the_cache_may_have_16_bits(self, make: MakeAttention, dtype: torch.dtype) -> None:
        spec = SPECS["gemma"]
        inputs = make_inputs(spec)
        for out, rows in zip(LayerRun.start(make(spec, dtype=dtype), inputs).finish([40]), inputs, strict=True):
            torch.testing.assert_close(out.double(), reference_attention(spec, rows, dtype), atol=3e-3, rtol=1e-2)

    def test_each_layer_has_its_own_cache(self, make: MakeAttention) -> None:
        specs = [SPECS["grouped"], SPECS["window"]]
        attention, inputs = make(*specs), make_inputs(specs[0])
        first = LayerRun.start(attention, inputs)
        first.finish([64])
        changed = [rows.flip(0) for rows in inputs]
        replace(LayerRun.start(attention, changed), layer=1).finish([64])
        # Compute only the last token again: it reads the other tokens from the first layer's cache.
        for sequence in first.sequences:
            sequence.num_computed -= 1
        for sequence, out in first.step(first.sequences, 1):
            rows = inputs[first.sequences.index(sequence)]
            torch.testing.assert_close(out.double(), reference_attention(specs[0], rows)[-1:], atol=2e-5, rtol=1e-4)

    def test_copy_block_copies_keys_and_values(self, make: MakeAttention) -> None:
        spec = SPECS["grouped"]
        (rows,) = make_inputs(spec, [40])
        run = LayerRun.start(make(spec), [rows])
        (sequence,) = run.sequences
        run.step([sequence], 39)
        source, target = sequence.block_table[2], NUM_BLOCKS - 1
        run.attention.copy_block(source, target)
        sequence.block_table[2] = target
        ((_, out),) = run.step([sequence], 1)
        torch.testing.assert_close(out.double(), reference_attention(spec, rows)[-1:], atol=2e-5, rtol=1e-4)

    def test_blocks_beyond_the_context_are_not_read(self, make: MakeAttention) -> None:
        """A batch's block tables have one width: the end of a shorter table may name another sequence's block."""
        spec = SPECS["grouped"]
        inputs = make_inputs(spec, [40, 200])
        run = LayerRun.start(make(spec), inputs)
        run.sequences[0].block_table[3:] = run.sequences[1].block_table[3:]
        for out, rows in zip(run.finish([64]), inputs, strict=True):
            torch.testing.assert_close(out.double(), reference_attention(spec, rows), atol=2e-5, rtol=1e-4)
