"""A rank's part of a decoder: its share of the weights, and layers that combine the ranks' results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

import torch

from serving.core import ModelLoadError
from serving.model.config import ModelConfig
from serving.model.linear import Linear
from serving.model.parallel.group import Group
from serving.model.weights import Matrix, MatrixSlice, Weights

_ALIGNMENT = 128  # parts are multiples of it if the total is: a multiple of quantization groups and of kernels' tiles
Lookup = Callable[[torch.Tensor], torch.Tensor]


class Split:
    """The query, key, value, gate and up projections are split by outputs, the attention output and down projections
    by inputs.

    The ranks of a layer then exchange two sums and nothing else.
    """

    def __init__(self, full: ModelConfig, group: Group) -> None:
        """`ModelLoadError` if the model can't be split among so many ranks."""
        self._group = group
        self._share = Share.of(full, group.rank, group.size)
        self._widths = vocab_widths(full, group.size)

    @property
    def config(self) -> ModelConfig:
        """The configuration of this rank's part."""
        return self._share.config

    def weights(self, full: Weights) -> Weights:
        return RankWeights(full, self._share, self._group)

    def row_parallel(self, linear: Linear) -> Linear:
        return RowParallelLinear(linear, self._group)

    def embedding(self, embedding: Lookup) -> Lookup:
        return VocabParallelEmbedding(embedding, self._group, self._share.vocab)

    def head(self, linear: Linear) -> Linear:
        return VocabParallelHead(linear, self._group, self._widths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A rank's share of the KV heads (with their query heads), of the MLP and of the vocabulary.

    Shares are as equal as possible. The first rank's share is the largest.
    """

    full: ModelConfig
    kv_heads: slice
    intermediate: slice
    vocab: slice

    @classmethod
    def of(cls, config: ModelConfig, rank: int, size: int) -> "Share":
        """A rank's share. `ModelLoadError` if there are more ranks than KV heads."""
        if size > config.num_kv_heads:
            raise ModelLoadError(
                f"tensor_parallel_size {size} is more than the model's {config.num_kv_heads} KV heads, "
                f"and each process needs at least one; use 1 to {config.num_kv_heads}."
            )
        return cls(
            full=config,
            kv_heads=_part(config.num_kv_heads, rank, size, 1),
            intermediate=_part(config.intermediate_size, rank, size, gcd(config.intermediate_size, _ALIGNMENT)),
            vocab=_part(config.vocab_size, rank, size, gcd(config.vocab_size, _ALIGNMENT)),
        )

    @property
    def config(self) -> ModelConfig:
        """The configuration of the rank's part."""
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
        """Rows of the query projection, columns of the output projection."""
        return _scaled(self.kv_heads, self.full.head_dim * self._group)

    @property
    def _group(self) -> int:
        return self.full.num_heads // self.full.num_kv_heads


def vocab_widths(config: ModelConfig, size: int) -> list[int]:
    """The size of each rank's share of the vocabulary."""
    return [_length(Share.of(config, rank, size).vocab) for rank in range(size)]


class RankWeights:
    """A rank's share of `Weights`: rows of the projections that are split by outputs, of the embedding and of the head;
    columns of the projections that are split by inputs. Rank 0 alone has the biases of the latter."""

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
            return tensor[part].clone()  # a view would keep the full tensor in memory
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
        return MatrixSlice(matrix=matrix, row_part=rows, column_part=columns)

    def _is_added_once(self, name: object) -> bool:
        """Whether this is the bias of a layer whose results are summed over the ranks. Only one rank may add it."""
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
    """A rank's part of `total`, in multiples of `unit`, which divides `total`. If the units can't be shared equally,
    the first ranks have one more."""
    equal, remainder = divmod(total // unit, size)
    start = rank * equal + min(rank, remainder)
    return slice(start * unit, (start + equal + (rank < remainder)) * unit)


def _scaled(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)


def _length(part: slice) -> int:
    return int(part.stop - part.start)


class _SplitLinear:
    """A rank's part of a linear layer."""

    def __init__(self, linear: Linear, group: Group) -> None:
        self._linear, self._group = linear, group

    @property
    def nbytes(self) -> int:
        return self._linear.nbytes

    @property
    def num_parameters(self) -> int:
        return self._linear.num_parameters


class RowParallelLinear(_SplitLinear):
    """A `serving.model.linear.Linear` that is split by inputs. Its results are summed over the ranks."""

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        y = self._group.sum(self._linear(x))
        return y if out is None else out.add_(y)


class VocabParallelHead(_SplitLinear):
    """A `serving.model.linear.Linear`: a head that is split by vocabulary. Rank 0 gets all logits, other ranks only
    their own."""

    def __init__(self, linear: Linear, group: Group, widths: Sequence[int]) -> None:
        super().__init__(linear, group)
        self._widths = widths

    def __call__(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        assert out is None, "a head has no residual"
        return self._group.gather_columns(self._linear(x), self._widths)


class VocabParallelEmbedding:
    """An embedding that is split by vocabulary. Each rank looks up its own tokens and has zeros for the others; the
    ranks' results are summed."""

    def __init__(self, embedding: Lookup, group: Group, vocab: slice) -> None:
        self._embedding, self._group, self._vocab = embedding, group, vocab

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        missing = (token_ids < self._vocab.start) | (token_ids >= self._vocab.stop)
        x = self._embedding((token_ids - self._vocab.start).masked_fill_(missing, 0))
        return self._group.sum(x.masked_fill_(missing.unsqueeze(1), 0))
