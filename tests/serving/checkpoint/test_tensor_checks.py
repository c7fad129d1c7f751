"""The head and biases of a directory, compared with those that transformers loads from the same files."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from serving.checkpoint.checkpoint import load_checkpoint
from serving.core import ModelLoadError
from serving.model.precision import choose_precision
from tests.serving.conftest import CheckpointMaker
from tests.serving.model.forward import Forward

PROMPT = list(range(7, 60))
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
BIAS = "model.layers.1.self_attn.k_proj.bias"


def changed(directory: Path, tmp_path: Path, settings: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Path:
    """A copy of the directory with other settings and tensors. A setting of None is removed."""
    copy = Path(shutil.copytree(directory, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text()) | settings
    kept = {key: value for key, value in config.items() if value is not None or key not in settings}
    (copy / "config.json").write_text(json.dumps(kept))
    save_file(load_file(copy / "model.safetensors") | tensors, copy / "model.safetensors")
    return copy


def assert_equal_transformers(directory: Path, transformers: Any) -> None:
    checkpoint = load_checkpoint(directory)
    precision = choose_precision("float32", "cpu", "none", "float32", compiled=False)
    (logits,) = Forward.of(checkpoint, precision, compiled=False).logits([PROMPT], [100])
    reference = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(logits, reference(torch.tensor([PROMPT])).logits[0], atol=2e-4, rtol=2e-4)


def test_a_head_in_the_file_counts_more_than_the_default(
    make_checkpoint: CheckpointMaker, tmp_path: Path, transformers: Any
) -> None:
    directory = changed(make_checkpoint(tie_word_embeddings=False), tmp_path, {"tie_word_embeddings": None}, {})
    assert not load_checkpoint(directory).config.tie_embeddings
    assert_equal_transformers(directory, transformers)


def test_without_a_head_in_the_file_the_embedding_is_the_head(tiny_model: Path, tmp_path: Path) -> None:
    directory = changed(tiny_model, tmp_path, {"tie_word_embeddings": None}, {})
    assert load_checkpoint(directory).config.tie_embeddings


def test_a_tied_head_may_be_in_the_file_too(tiny_model: Path, tmp_path: Path, transformers: Any) -> None:
    embedding = load_file(tiny_model / "model.safetensors")[EMBEDDING]
    directory = changed(tiny_model, tmp_path, {}, {HEAD: embedding.clone()})
    assert load_checkpoint(directory).config.tie_embeddings
    assert_equal_transformers(directory, transformers)


@pytest.mark.parametrize("key", ["attention_bias", "mlp_bias"])
def test_biases_in_the_file_count_more_than_the_default(
    key: str, make_checkpoint: CheckpointMaker, tmp_path: Path
) -> None:
    directory = make_checkpoint(**{key: True})
    silent = changed(directory, tmp_path, {key: None}, {})
    precision = choose_precision("float32", "cpu", "none", "float32", compiled=False)
    logits, expected = (
        Forward.of(load_checkpoint(path), precision, compiled=False).logits([PROMPT], [100])[0]
        for path in (silent, directory)
    )
    assert torch.equal(logits, expected)


def test_biases_of_zeros_contradict_nothing(tiny_model: Path, tmp_path: Path, transformers: Any) -> None:
    """GPTQ files have such biases."""
    directory = changed(tiny_model, tmp_path, {"attention_bias": False}, {BIAS: torch.zeros(16)})
    assert_equal_transformers(directory, transformers)


@pytest.mark.parametrize(
    ("settings", "tensors", "message"),
    [
        ({"tie_word_embeddings": False}, {}, "tie_word_embeddings is false, but there is no tensor 'lm_head.weight'"),
        ({}, {HEAD: torch.ones(257, 48)}, "tie_word_embeddings is true, but tensor 'lm_head.weight' is not the embed"),
        ({"attention_bias": False}, {BIAS: torch.ones(16)}, f"attention_bias is false, but there is a tensor '{BIAS}'"),
        ({"attention_bias": True}, {}, "attention_bias is true, but tensor 'model.layers.0.self_attn.q_proj.bias'"),
        ({"mlp_bias": True}, {}, "mlp_bias is true, but tensor 'model.layers.0.mlp.gate_proj.bias' is missing"),
        (
            {"model_type": "qwen2"},
            {},
            "architecture 'qwen2' has this bias, but tensor 'model.layers.0.self_attn.q_proj.bias'",
        ),
    ],
)
def test_a_contradiction_is_one_line(
    settings: dict[str, Any], tensors: dict[str, torch.Tensor], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    directory = changed(tiny_model, tmp_path, settings, tensors)
    with pytest.raises(ModelLoadError, match=message) as caught:
        load_checkpoint(directory)
    assert str(caught.value).startswith(str(directory / "config.json"))
    assert "\n" not in str(caught.value)
