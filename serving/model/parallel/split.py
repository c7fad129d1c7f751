"""What a rank's part of a decoder is made of."""

from serving.model.config import ModelConfig
from serving.model.linear import Linear
from serving.model.parallel.group import Group
from serving.model.parallel.layers import Lookup, RowParallelLinear, VocabParallelEmbedding, VocabParallelHead
from serving.model.parallel.share import Share, SharedWeights, vocab_widths
from serving.model.weights import Weights


class Split:
    """Query, key, value, gate and up are split along their outputs, attention's output and down along their inputs.

    So a layer needs two sums over the ranks, and nothing else is exchanged within it.
    """

    def __init__(self, whole: ModelConfig, group: Group) -> None:
        """`ModelLoadError` when the model can't be split so."""
        self._group = group
        self._share = Share.of(whole, group.rank, group.size)
        self._widths = vocab_widths(whole, group.size)

    @property
    def config(self) -> ModelConfig:
        """This rank's part as if it were a model."""
        return self._share.config

    def weights(self, whole: Weights) -> Weights:
        return SharedWeights(whole, self._share, self._group)

    def row_parallel(self, linear: Linear) -> Linear:
        return RowParallelLinear(linear, self._group)

    def embedding(self, embedding: Lookup) -> Lookup:
        return VocabParallelEmbedding(embedding, self._group, self._share.vocab)

    def head(self, linear: Linear) -> Linear:
        return VocabParallelHead(linear, self._group, self._widths)
