"""Layers of which a rank has a part."""

from collections.abc import Callable, Sequence

import torch

from serving.model.linear import Linear
from serving.model.parallel.group import Group

Lookup = Callable[[torch.Tensor], torch.Tensor]


class _Part:
    """A rank's part of a layer."""

    def __init__(self, linear: Linear, group: Group) -> None:
        self._linear, self._group = linear, group

    @property
    def nbytes(self) -> int:
        return self._linear.nbytes

    @property
    def num_parameters(self) -> int:
        return self._linear.num_parameters


class RowParallelLinear(_Part):
    """See `serving.model.linear.Linear`: a layer split along its inputs, its results summed over the ranks."""

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        y = self._group.sum(self._linear(x))
        return y if out is None else out.add_(y)


class VocabParallelHead(_Part):
    """A `serving.model.linear.Linear`: a head that is split by vocabulary. Rank 0 gets all logits, others their own."""

    def __init__(self, linear: Linear, group: Group, widths: Sequence[int]) -> None:
        super().__init__(linear, group)
        self._widths = widths

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        assert out is None, "logits are added to nothing"
        return self._group.gather_columns(self._linear(x), self._widths)


class VocabParallelEmbedding:
    """Each rank looks up the tokens that it has; the others' rows are 0 there."""

    def __init__(self, embedding: Lookup, group: Group, vocab: slice) -> None:
        self._embedding, self._group, self._vocab = embedding, group, vocab

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        missing = (token_ids < self._vocab.start) | (token_ids >= self._vocab.stop)
        x = self._embedding((token_ids - self._vocab.start).masked_fill_(missing, 0))
        return self._group.sum(x.masked_fill_(missing.unsqueeze(1), 0))
