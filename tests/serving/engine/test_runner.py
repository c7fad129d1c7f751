"""Decode graphs with fixed input memory and padding rows. Without a GPU, a graph is a function call."""

from pathlib import Path

import pytest
import torch

from serving.checkpoint.checkpoint import load_checkpoint
from serving.core import Batch, ModelLoadError, ScheduledSequence, Sequence, build_batch
from serving.engine.runner import Compute, DecodeGraphs, ModelRunner
from serving.model.attention.flash import VarlenAttention
from serving.model.precision import choose_precision
from serving.model.registry import Model, build_model
from serving.testing import BLOCK_SIZE, make_sequence
from tests.serving.model.reference_varlen import reference_varlen

CPU = torch.device("cpu")
MAX_LEN, NUM_BLOCKS, MAX_SEQS = 128, 64, 6


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    checkpoint = load_checkpoint(tiny_model)
    precision = choose_precision("float32", "cpu", compiled=False)
    return build_model(checkpoint.config, checkpoint.weights, precision, MAX_LEN)


class DecodeLoop:
    """Decodes sequences greedily, with graphs or without."""

    def __init__(self, model: Model, *, graphs: bool) -> None:
        self.attention = VarlenAttention(
            model.attention_specs, NUM_BLOCKS, BLOCK_SIZE, torch.float32, CPU, reference_varlen
        )
        self.graphs = DecodeGraphs(model, self.attention, CPU, max_num_seqs=MAX_SEQS, max_len=MAX_LEN)
        self.replays = 0
        self.graphs.capture(self._counted)
        self.runner = ModelRunner(model, self.attention, CPU, self.graphs if graphs else None)

    def _counted(self, compute: Compute) -> Compute:
        def replay() -> torch.Tensor:
            self.replays += 1
            return compute()

        return replay

    def step(self, sequences: list[Sequence]) -> torch.Tensor:
        """Compute a step and append each sequence's likeliest token. Returns the logits."""
        logits = self.runner.run(batch_of(sequences))
        for sequence, row in zip(sorted(sequences, key=lambda s: s.num_uncomputed > 1), logits, strict=True):
            sequence.num_computed = len(sequence.token_ids)
            sequence.token_ids.append(int(row.argmax()))
        return logits


def batch_of(sequences: list[Sequence]) -> Batch:
    items = [ScheduledSequence(sequence=s, start=s.num_computed, count=s.num_uncomputed) for s in sequences]
    return build_batch(items, BLOCK_SIZE)


def sequences_of(lengths: list[int]) -> list[Sequence]:
    return [make_sequence(list(range(3, 3 + length)), i, NUM_BLOCKS) for i, length in enumerate(lengths)]


@torch.inference_mode()
@pytest.mark.parametrize("count", range(1, MAX_SEQS + 1))
def test_graphs_compute_what_steps_without_them_do(model: Model, count: int) -> None:
    lengths = [5, 40, 1, 17, 16, 31][:count]
    ours, theirs = DecodeLoop(model, graphs=True), DecodeLoop(model, graphs=False)
    sequences = [sequences_of(lengths) for _ in range(2)]
    for step in range(20):
        logits = [decoding.step(these) for decoding, these in zip((ours, theirs), sequences, strict=True)]
        assert logits[0].shape == logits[1].shape
        torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)
        assert ours.replays == (step if max(lengths) > 1 else step + 1), "all but the prompts' step"
    assert theirs.replays == 0


@torch.inference_mode()
def test_padding_rows_change_no_sequences_cache(model: Model) -> None:
    """A sequence gets the same tokens in batches of several sizes, with and without padding, as without graphs."""
    decoding = DecodeLoop(model, graphs=True)
    many = sequences_of([5, 40, 9, 17, 16])
    alone = DecodeLoop(model, graphs=False)
    [one] = sequences_of([5])
    decoding.step(many)
    alone.step([one])
    for width in (5, 3, 1, 5, 2):
        for sequence in many[:width]:
            assert sequence.num_uncomputed == 1
        decoding.step(many[:width])
        alone.step([one])
        assert many[0].token_ids == one.token_ids


def test_sizes_are_powers_of_two_and_the_maximum(model: Model) -> None:
    attention = DecodeLoop(model, graphs=True).attention

    def sizes(most: int) -> list[int]:
        return DecodeGraphs(model, attention, CPU, max_num_seqs=most, max_len=MAX_LEN).sizes

    assert [sizes(most) for most in (1, 2, 6, 8, 33)] == [
        [1],
        [1, 2],
        [1, 2, 4, 6],
        [1, 2, 4, 8],
        [1, 2, 4, 8, 16, 32, 33],
    ]


def test_graphs_run_only_batches_of_single_sampled_tokens(model: Model) -> None:
    graphs = DecodeLoop(model, graphs=True).graphs
    assert graphs.can_run(batch_of(sequences_of([1] * 6)))
    assert not graphs.can_run(batch_of(sequences_of([1] * 7)))
    assert not graphs.can_run(batch_of(sequences_of([1, 2])))
    [prompt] = sequences_of([9])
    piece = build_batch([ScheduledSequence(sequence=prompt, start=0, count=1)], BLOCK_SIZE)
    assert not graphs.can_run(piece), "the prompt's next token is not sampled"


def test_a_failed_capture_names_the_knob_that_disables_graphs(model: Model) -> None:
    graphs = DecodeLoop(model, graphs=True).graphs

    def fail(compute: Compute) -> Compute:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    with pytest.raises(ModelLoadError, match=r"not permitted when stream is capturing; set cuda_graphs=false\."):
        graphs.capture(fail)
