import pytest
import torch

from serving.checkpoint.checkpoint import load_checkpoint
from serving.checkpoint.unfused import UnfusedWeights
from serving.core import ModelLoadError
from serving.model.weights import Matrix, matrix_of
from tests.serving.conftest import CheckpointMaker

QKV = "model.layers.1.self_attn.qkv_proj"


class TensorWeights(dict[str, torch.Tensor]):
    """`Weights` from a dictionary of tensors."""

    def get(self, name: str, default: object = None, /) -> torch.Tensor:
        return self[name]

    def matrix(self, name: str) -> Matrix:
        return matrix_of(name, self[name])


def test_a_fused_layer_has_the_rows_of_its_parts(make_checkpoint: CheckpointMaker) -> None:
    checkpoint = load_checkpoint(make_checkpoint("phi3"))
    weights = checkpoint.weights
    parts = [f"model.layers.1.self_attn.{name}_proj.weight" for name in "qkv"]
    together = torch.cat([weights.matrix(part).rows(0, weights.matrix(part).shape[0]) for part in parts])
    assert torch.equal(together, weights.get(f"{QKV}.weight"))
    assert torch.equal(together, torch.cat([weights.get(part) for part in parts]))
    assert "model.layers.1.self_attn.q_proj.bias" not in weights


def test_a_layer_that_is_not_fused_is_unchanged(make_checkpoint: CheckpointMaker) -> None:
    config = load_checkpoint(make_checkpoint("phi3")).config
    name = "model.layers.0.mlp.up_proj.weight"
    weights = UnfusedWeights(TensorWeights({name: torch.ones(2, 2)}), config)
    assert name in weights
    assert torch.equal(weights.get(name), torch.ones(2, 2))


def test_a_fused_layer_of_another_size_is_named(make_checkpoint: CheckpointMaker) -> None:
    config = load_checkpoint(make_checkpoint("phi3")).config
    weights = UnfusedWeights(TensorWeights({f"{QKV}.bias": torch.ones(7)}), config)
    with pytest.raises(ModelLoadError, match=f"tensor '{QKV}.bias' has 7 rows, the model's configuration says 80"):
        weights.get("model.layers.1.self_attn.k_proj.bias")
