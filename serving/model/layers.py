"""The embedding and rotary positions."""

import torch
import torch.nn.functional as F

from serving.model.precision import Precision


class Embedding:
    """Token ids [tokens] to [tokens, hidden_size] times `scale`. The table stays in the weights' type."""

    def __init__(self, table: torch.Tensor, precision: Precision, scale: float = 1.0) -> None:
        self._table = table.to(device=precision.device, dtype=precision.weights)
        self._activations = precision.activations
        # Gemma rounds its scale to the weights' type before it multiplies.
        self._scale = float(torch.tensor(scale, dtype=precision.weights))

    def __call__(self, token_ids: torch.Tensor) -> torch.Tensor:
        x = F.embedding(token_ids, self._table).to(self._activations)
        return x if self._scale == 1.0 else x.mul_(self._scale)


class Rotary:
    """Rotary positions (Su et al. 2021), first and second half of a head paired as Hugging Face models do.

    `factor` divides the positions (linear scaling).
    """

    def __init__(
        self, head_dim: int, max_position: int, theta: float, precision: Precision, factor: float = 1.0
    ) -> None:
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        frequencies = 1.0 / float(theta) ** exponents / factor
        angles = torch.outer(torch.arange(max_position, dtype=torch.float32), frequencies)
        self.cos = angles.cos().to(device=precision.device, dtype=precision.activations)
        self.sin = angles.sin().to(device=precision.device, dtype=precision.activations)

    def at(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines [tokens, 1, head_dim / 2] of these positions."""
        return self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate heads [tokens, heads, head_dim] by their positions' angles."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    rotated = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.mul(first, cos, out=rotated[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=rotated[..., half:]).addcmul_(first, sin)
    return rotated
