"""A rank's part of a decoder: its share of the weights, and layers that combine the parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

import torch

from serving.core import ModelLoadError
from serving.model.config import ModelConfig
from serving.model.linear import Linear
from serving.model.parallel.group import Group
from serving.model.weights import Matrix, PartMatrix, Weights

_ALIGNMENT = 128  # parts are multiples of it where the whole is: of quantization groups and of kernels' tiles
Lookup = Callable[[torch.Tensor], torch.Tensor]


class Split:
    """Query, key, value, gate and up are split along their outputs, attention's output and down along their inputs.

    So a layer needs two sums over the ranks, and nothing else is exchanged within it.
    """

    def __init__(self, full: ModelConfig, group: Group) -> None:
        """`ModelLoadError` when the model can't be split so."""
        self._group = group
        self._share = Share.of(full, group.rank, group.size)
        self._widths = vocab_widths(full, group.size)

    @property
    def config(self) -> ModelConfig:
        """This rank's part as if it were a model."""
        return self._share.config

    def weights(self, full: Weights) -> Weights:
        return SharedWeights(full, self._share, self._group)

    def row_parallel(self, linear: Linear) -> Linear:
        return RowParallelLinear(linear, self._group)

    def embedding(self, embedding: Lookup) -> Lookup:
        return VocabParallelEmbedding(embedding, self._group, self._share.vocab)

    def head(self, linear: Linear) -> Linear:
        return VocabParallelHead(linear, self._group, self._widths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A rank's heads, with the KV heads that they share, its part of the MLP, and of the vocabulary.

    Parts are as equal as can be, the first rank's the largest.
    """

    full: ModelConfig
    kv_heads: slice
    intermediate: slice
    vocab: slice

    @classmethod
    def of(cls, config: ModelConfig, rank: int, size: int) -> "Share":
        """`ModelLoadError` when there are too few KV heads for so many ranks."""
        if size > config.num_kv_heads:
            raise ModelLoadError(
                f"tensor_parallel_size {size} is more than the model's {config.num_kv_heads} KV heads, "
                f"of which each process needs one; use 1 to {config.num_kv_heads}."
            )
        return cls(
            full=config,
            kv_heads=_part(config.num_kv_heads, rank, size, 1),
            intermediate=_part(config.intermediate_size, rank, size, gcd(config.intermediate_size, _ALIGNMENT)),
            vocab=_part(config.vocab_size, rank, size, gcd(config.vocab_size, _ALIGNMENT)),
        )

    @property
    def config(self) -> ModelConfig:
        """The part as if it were a model of its own."""
        kv_heads = _length(self.kv_heads)
        return replace(
            self.full,
            num_kv_heads=kv_heads,
            num_heads=kv_heads * self._group,
            intermediate_size=_length(self.intermediate),
            vocab_size=_length(self.vocab),
        )

    @property
    def keys(self) -> slice:
        """Rows of the key and value projections."""
        return _scaled(self.kv_heads, self.full.head_dim)

    @property
    def queries(self) -> slice:
        """Rows of the query projection, columns of the output's."""
        return _scaled(self.kv_heads, self.full.head_dim * self._group)

    @property
    def _group(self) -> int:
        return self.full.num_heads // self.full.num_kv_heads


def vocab_widths(config: ModelConfig, size: int) -> list[int]:
    """The part of the vocabulary that each rank has."""
    return [_length(Share.of(config, rank, size).vocab) for rank in range(size)]


class SharedWeights:
    """The part of `Weights` that a rank has: rows of what comes first in a block, columns of what sums it up."""

    def __init__(self, weights: Weights, share: Share, group: Group) -> None:
        self._weights, self._first = weights, group.rank == 0
        config = share.full
        queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self._rows: Mapping[str, tuple[slice, int]] = {
            "q_proj": (share.queries, queries),
            "k_proj": (share.keys, keys),
            "v_proj": (share.keys, keys),
            "gate_proj": (share.intermediate, config.intermediate_size),
            "up_proj": (share.intermediate, config.intermediate_size),
            "embed_tokens": (share.vocab, config.vocab_size),
            "lm_head": (share.vocab, config.vocab_size),
        }
        self._columns: Mapping[str, tuple[slice, int]] = {
            "o_proj": (share.queries, queries),
            "down_proj": (share.intermediate, config.intermediate_size),
        }

    def __contains__(self, name: object) -> bool:
        return name in self._weights and (self._first or not self._is_added_once(name))

    def get(self, name: str) -> torch.Tensor:
        tensor, layer = self._weights.get(name), _layer(name)
        if layer in self._rows:
            part, full = self._rows[layer]
            _require_size(tuple(tensor.shape), 0, full, name)
            return tensor[part].clone()  # so that the rest is freed
        return tensor

    def matrix(self, name: str) -> Matrix:
        matrix, layer = self._weights.matrix(name), _layer(name)
        rows, columns = (slice(0, size) for size in matrix.shape)
        if layer in self._rows:
            rows, full = self._rows[layer]
            _require_size(matrix.shape, 0, full, name)
        if layer in self._columns:
            columns, full = self._columns[layer]
            _require_size(matrix.shape, 1, full, name)
        return PartMatrix(matrix=matrix, row_part=rows, column_part=columns)

    def _is_added_once(self, name: object) -> bool:
        """The bias of a layer whose results are summed over the ranks."""
        return isinstance(name, str) and name.endswith(".bias") and _layer(name) in self._columns


def _layer(name: str) -> str:
    return name.split(".")[-2]


def _require_size(shape: tuple[int, ...], dim: int, full: int, name: str) -> None:
    if shape[dim] != full:
        raise ModelLoadError(
            f"tensor {name!r} has shape {shape}, the model's configuration says {full} in dimension "
            f"{dim}: the file is inconsistent; fetch it again."
        )


def _part(total: int, rank: int, size: int, unit: int) -> slice:
    """Of `total`, in multiples of `unit` that divides it; the first ranks have one unit more if need be."""
    least, more = divmod(total // unit, size)
    start = rank * least + min(rank, more)
    return slice(start * unit, (start + least + (rank < more)) * unit)


def _scaled(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)


def _length(part: slice) -> int:
    return int(part.stop - part.start)


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
