"""A decoder's dimensions and variations, from whatever file format."""

from dataclasses import dataclass

from serving.prologue import Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A decoder of pre-norm blocks: grouped-query attention with rotary positions, and a gated MLP.

    The architectures differ in the fields with defaults. `norm_offset` is added to every norm's weight: Gemma's
    checkpoints store them less one. `local_layers` see only the last `window` tokens, with rotary base
    `local_rope_theta` where it is set.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_position: int
    rope_theta: float
    rms_norm_eps: float
    tie_embeddings: bool
    activation: Activation = "silu"
    qk_norm: bool = False
    post_norms: bool = False
    norm_offset: float = 0.0
    embedding_scale: float = 1.0
    attention_scale: float | None = None  # head_dim**-0.5 by default
    window: int = 0
    local_layers: frozenset[int] = frozenset()
    local_rope_theta: float | None = None
    rope_factor: float = 1.0  # positions of the layers that see all are divided by it

    def __post_init__(self) -> None:
        if min(self.num_layers, self.num_heads, self.num_kv_heads, self.head_dim, self.vocab_size) < 1:
            raise ValueError("a dimension is below 1")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"{self.num_heads} heads cannot share {self.num_kv_heads} KV heads")
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd, rotary positions need pairs")
        if self.local_layers and self.window < 1:
            raise ValueError(f"layers with a sliding window of {self.window} tokens see nothing")

    def is_local(self, layer: int) -> bool:
        """Whether a layer sees only the last `window` tokens."""
        return layer in self.local_layers
