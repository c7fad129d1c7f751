"""Runs models in steps as the engine does, but without the engine."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import torch

from serving.checkpoint.checkpoint import Checkpoint
from serving.core import ScheduledSequence, Sequence, build_batch
from serving.engine.loading import make_attention
from serving.model.attention.base import Attention
from serving.model.compiled import compiled_model
from serving.model.parallel.group import Group
from serving.model.precision import Precision
from serving.model.registry import Model, build_model
from serving.testing import BLOCK_SIZE, MAX_LEN, make_sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A model with an empty cache."""

    model: Model
    attention: Attention

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        precision: Precision,
        *,
        compiled: bool,
        max_len: int = MAX_LEN,
        memory_mb: int = 8,
        one_call: bool = True,
        group: Group | None = None,
    ) -> "Forward":
        """`compiled` selects the attention; the precision selects the linear layers. With `one_call`, all layers run in
        one call if the kernels support it. With a group, the model is a rank's part.
        """
        model = build_model(checkpoint.config, checkpoint.weights, precision, max_len, group)
        attention = make_attention(model.attention_specs, precision, BLOCK_SIZE, memory_mb, compiled=compiled)
        return cls(model=compiled_model(model, attention) if one_call else model, attention=attention)

    @torch.inference_mode()
    def logits(self, prompts: Seq[Seq[int]], pieces: Seq[int]) -> list[torch.Tensor]:
        """The logits [tokens, vocab] of each prompt. All prompts are computed together, in chunks of these lengths."""
        sequences = [
            make_sequence(list(prompt), index, self.attention.num_blocks) for index, prompt in enumerate(prompts)
        ]
        rows: list[list[torch.Tensor]] = [[] for _ in prompts]
        for length in pieces:
            left = [sequence for sequence in sequences if sequence.num_uncomputed]
            step = [_piece(sequence, min(length, sequence.num_uncomputed)) for sequence in left]
            for sequence, part in self._step(step) if step else ():
                rows[sequences.index(sequence)].append(part)
        return [torch.cat(parts) for parts in rows]

    @torch.inference_mode()
    def greedy(self, prompt: Seq[int], count: int) -> list[int]:
        """The next `count` tokens, each the most probable."""
        sequence = make_sequence(list(prompt), 0, self.attention.num_blocks)
        for _ in range(count):
            ((_, logits),) = self._step([_piece(sequence, sequence.num_uncomputed)])
            sequence.token_ids.append(int(logits[-1].argmax()))
        return sequence.token_ids[len(prompt) :]

    def _step(self, step: list[ScheduledSequence]) -> list[tuple[Sequence, torch.Tensor]]:
        batch = build_batch(step, BLOCK_SIZE)
        self.attention.begin(batch)
        every_row = torch.arange(len(batch.token_ids))
        logits = self.model.logits(torch.from_numpy(batch.token_ids), self.attention, every_row)
        for item in step:
            item.sequence.num_computed += item.count
        parts = torch.split(logits, batch.counts.tolist())
        return [(item.sequence, part) for item, part in zip(batch.items, parts, strict=True)]


def _piece(sequence: Sequence, count: int) -> ScheduledSequence:
    return ScheduledSequence(sequence=sequence, start=sequence.num_computed, count=count)
