"""config.json, published and saved, compared with the configuration that transformers reads from it."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from serving.checkpoint.checkpoint import load_checkpoint
from serving.checkpoint.hugging_face import parse_config
from serving.core import ModelLoadError
from serving.model.config import ModelConfig
from serving.model.rope_scaling import rope_frequencies
from tests.serving.conftest import CheckpointMaker

FILE = Path("config.json")
LLAMA = {
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}
QWEN2 = {
    **LLAMA,
    "model_type": "qwen2",
    "max_window_layers": 21,
    "num_hidden_layers": 24,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "use_sliding_window": False,
}
QWEN3 = {**QWEN2, "model_type": "qwen3", "head_dim": 128, "sliding_window": None, "rope_scaling": None}
GEMMA = {
    "model_type": "gemma3_text",
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 640,
    "intermediate_size": 2048,
    "max_position_embeddings": 32768,
    "num_attention_heads": 4,
    "num_hidden_layers": 18,
    "num_key_value_heads": 1,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-6,
    "rope_local_base_freq": 10000.0,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "vocab_size": 262144,
}
# Larger Gemma models nest the language model's settings and leave out those that equal the defaults.
GEMMA_4B_TEXT = {
    "hidden_size": 2560,
    "intermediate_size": 10240,
    "model_type": "gemma3_text",
    "num_hidden_layers": 34,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "sliding_window": 1024,
}
GEMMA_4B = {"model_type": "gemma3", "text_config": GEMMA_4B_TEXT, "vision_config": {"hidden_size": 1152}}
MISTRAL = {**LLAMA, "model_type": "mistral", "sliding_window": None}
PHI3 = {**LLAMA, "model_type": "phi3", "hidden_size": 3072, "num_attention_heads": 32, "num_key_value_heads": 32}
PHI3_SCALING = {
    "type": "su",
    "original_max_position_embeddings": 4096,
    "short_factor": [1.0 + i / 16 for i in range(48)],
    "long_factor": [4.0] * 48,
}
CONTENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "llama": (LLAMA, LLAMA),
    "llama-scaled": ({**LLAMA, "rope_scaling": {"type": "linear", "factor": 2.0}},) * 2,
    "qwen2": (QWEN2, QWEN2),
    "qwen2-window": ({**QWEN2, "use_sliding_window": True},) * 2,
    "qwen3": (QWEN3, QWEN3),
    "qwen3-window": ({**QWEN3, "use_sliding_window": True, "sliding_window": 64, "max_window_layers": 3},) * 2,
    "mistral": (MISTRAL, MISTRAL),
    "mistral-window": ({**MISTRAL, "sliding_window": 512},) * 2,
    "mistral-no-window-key": ({key: value for key, value in MISTRAL.items() if key != "sliding_window"},) * 2,
    "phi3": ({**PHI3, "sliding_window": 2047},) * 2,
    "phi3-partial": ({**PHI3, "partial_rotary_factor": 0.75, "sliding_window": None},) * 2,
    "phi3-su": ({**PHI3, "max_position_embeddings": 4096, "rope_scaling": PHI3_SCALING},) * 2,
    "gemma3": (GEMMA, GEMMA),
    "gemma3-pictures": (GEMMA_4B, GEMMA_4B_TEXT),
}


@pytest.mark.parametrize(("content", "text"), CONTENTS.values(), ids=CONTENTS)
def test_config_is_read_as_by_transformers(content: dict[str, Any], text: dict[str, Any], transformers: Any) -> None:
    theirs = transformers.CONFIG_MAPPING[text["model_type"]](**text)
    ours = parse_config(FILE, content)
    assert compared(ours) == reference(theirs)
    saved = json.loads(theirs.to_json_string(use_diff=False))
    assert parse_config(FILE, saved) == ours, "as transformers saves it"


def compared(ours: ModelConfig) -> dict[str, Any]:
    scale = ours.head_dim**-0.5 if ours.attention_scale is None else ours.attention_scale
    return {
        "vocab": ours.vocab_size,
        "sizes": (ours.hidden_size, ours.intermediate_size, ours.num_layers, ours.head_dim),
        "heads": (ours.num_heads, ours.num_kv_heads),
        "context": ours.max_position,
        "rotated": ours.rotated,
        "eps": ours.rms_norm_eps,
        "tied": ours.tie_embeddings,
        "scale": scale,
        "local": [ours.is_local(layer) for layer in range(ours.num_layers)],
        "window": ours.window,
        "theta": ours.rope_theta,
        "factor": getattr(ours.rope_scaling, "factor", 1.0),
        "local theta": ours.local_rope_theta,
    }


def reference(theirs: Any) -> dict[str, Any]:
    if theirs.model_type in ("mistral", "phi3"):
        local = [theirs.sliding_window is not None] * theirs.num_hidden_layers
    else:
        local = [kind == "sliding_attention" for kind in getattr(theirs, "layer_types", [])]
    head_dim = getattr(theirs, "head_dim", None) or theirs.hidden_size // theirs.num_attention_heads
    rope = theirs.rope_parameters
    everywhere = rope.get("full_attention", rope)
    return {
        "vocab": theirs.vocab_size,
        "sizes": (theirs.hidden_size, theirs.intermediate_size, theirs.num_hidden_layers, head_dim),
        "heads": (theirs.num_attention_heads, theirs.num_key_value_heads),
        "context": theirs.max_position_embeddings,
        "rotated": int(head_dim * everywhere.get("partial_rotary_factor", 1.0)),
        "eps": theirs.rms_norm_eps,
        "tied": theirs.tie_word_embeddings,
        "scale": getattr(theirs, "query_pre_attn_scalar", head_dim) ** -0.5,
        "local": local or [False] * theirs.num_hidden_layers,
        "window": theirs.sliding_window if any(local) else 0,
        "theta": everywhere["rope_theta"],
        "factor": everywhere.get("factor", 1.0),
        "local theta": rope.get("sliding_attention", {}).get("rope_theta"),
    }


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}
LONG = {"rope_type": "longrope", "short_factor": [1.0 + i / 16 for i in range(32)], "long_factor": [4.0] * 32}
ROPES: dict[str, dict[str, Any]] = {
    "none": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 2.0},
    "linear-older": {"type": "linear", "factor": 2.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "llama3": {**LLAMA3, "original_max_position_embeddings": 1024},
    "llama3-whole-context": LLAMA3,
    "yarn": YARN,
    "yarn-betas": {**YARN, "beta_fast": 16, "beta_slow": 2, "truncate": False},
    "yarn-attention-factor": {**YARN, "attention_factor": 0.75},
    "yarn-mscale": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.2},
    "yarn-no-factor": {**YARN, "factor": None},
    "yarn-narrow": {**YARN, "beta_fast": 8, "beta_slow": 8},
    "longrope": {**LONG, "original_max_position_embeddings": 1024},
    "longrope-factors": {**LONG, "original_max_position_embeddings": 1024, "factor": 3.0, "attention_factor": 1.1},
}


@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("rope", ROPES.values(), ids=ROPES)
def test_rotary_frequencies_equal_transformers(rope: dict[str, Any], spelling: str, transformers: Any) -> None:
    theta = {"rope_theta": 500000.0} if spelling == "rope_parameters" else {}
    content = {**LLAMA, spelling: {**rope, **theta}}
    theirs = transformers.LlamaConfig(**json.loads(json.dumps(content)))
    rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(theirs)
    ours = parse_config(FILE, content)
    torch.testing.assert_close(rope_frequencies(32, ours.rope_theta, ours.rope_scaling), rotary.inv_freq)
    magnitude = 1.0 if ours.rope_scaling is None else ours.rope_scaling.magnitude
    assert magnitude == pytest.approx(rotary.attention_scaling)


@pytest.mark.parametrize("wrong", [None, -5, 0, "128", 2**70, 1.5, 1e400, float("nan"), True, [], {}, [1], "x" * 500])
@pytest.mark.parametrize("rope", ROPES.values(), ids=ROPES)
def test_any_value_of_a_rotary_key_is_taken_or_refused_in_one_line(rope: dict[str, Any], wrong: Any) -> None:
    for key in [*rope, "rope_theta", "original_max_position_embeddings", "attention_factor", "truncate"]:
        content = {**LLAMA, "rope_scaling": {**rope, key: wrong}}
        with contextlib.suppress(ModelLoadError):
            assert parse_config(FILE, content).architecture == "llama"


@pytest.mark.parametrize(("rope", "context"), [(YARN, 8192), ({**YARN, "factor": 16.0}, 32768), (LLAMA3, 8192)])
def test_yarn_reaches_as_far_as_its_factor(rope: dict[str, Any], context: int) -> None:
    assert parse_config(FILE, {**LLAMA, "rope_scaling": rope}).max_position == context


def test_long_rope_ends_where_its_frequencies_change(caplog: pytest.LogCaptureFixture) -> None:
    content = {**LLAMA, "rope_scaling": {**LONG, "original_max_position_embeddings": 1024}}
    assert parse_config(FILE, content).max_position == 1024
    assert "rope_type 'longrope' is exact up to 1024 tokens; the context ends there, not at 8192" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**LLAMA, "rope_scaling": {"rope_type": "new"}}, "rope_type 'new' is not supported, only 'default' or"),
        ({**LLAMA, "rope_scaling": {"rope_type": "yarn"}}, "the key 'factor' is missing"),
        ({**LLAMA, "rope_scaling": {**YARN, "factor": -1}}, "factor of the rotary scaling is -1"),
        ({**LLAMA, "rope_theta": 1.0, "rope_scaling": YARN}, "division by zero"),
        ({**LLAMA, "rope_scaling": {**LLAMA3, "high_freq_factor": 1}}, "low_freq_factor 1.0 is not below 1"),
        ({**LLAMA, "rope_scaling": {**LONG, "short_factor": [1.0]}}, "1 factors for 32 rotary frequencies"),
        ({**LLAMA, "quantization_config": {"bits": 4}}, "quantization_config"),
        ({**LLAMA, "partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5 is not supported, only 1.0"),
        ({**PHI3, "partial_rotary_factor": 2}, "rotary positions on 192 of 96 dimensions"),
        ({**LLAMA, "hidden_act": "gelu_pytorch_tanh"}, "hidden_act 'gelu_pytorch_tanh' is not supported, only 'silu'"),
        ({**QWEN3, "layer_types": ["linear_attention"]}, "layer_types 'linear_attention' is not supported"),
        ({**GEMMA, "final_logit_softcapping": 30.0}, "final_logit_softcapping 30.0 is not supported"),
        ({**GEMMA, "use_bidirectional_attention": True}, "use_bidirectional_attention True"),
        ({**GEMMA, "rope_parameters": {"full_attention": {}}}, "'sliding_attention' is missing"),
        ({**QWEN2, "use_sliding_window": True, "sliding_window": -1}, "sliding window of -1 tokens"),
        ({**GEMMA, "text_config": 3}, r"config\.json: "),
        ({**LLAMA, "num_hidden_layers": "many"}, r"config\.json: "),
        ({"model_type": "gemma3n_text"}, "architecture 'gemma3n_text' is not supported"),
        ({}, r"architecture '\(none\)' is not supported"),
    ],
)
def test_an_unsupported_setting_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message) as caught:
        parse_config(FILE, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_the_language_model_of_a_multimodal_checkpoint_is_loaded(
    prefix: str, make_checkpoint: CheckpointMaker, tmp_path: Path
) -> None:
    plain = make_checkpoint("gemma3", head_dim=16, num_attention_heads=6, sliding_window=8, query_pre_attn_scalar=16)
    directory = Path(shutil.copytree(plain, tmp_path / "copy"))
    tensors = load_file(directory / "model.safetensors")
    renamed = {name.replace("model.", prefix, 1): tensor for name, tensor in tensors.items()}
    save_file(renamed | {"vision_tower.patch.weight": torch.ones(1)}, directory / "model.safetensors")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": config}))
    ours, expected = load_checkpoint(directory), load_checkpoint(plain)
    assert ours.config == expected.config
    assert all(torch.equal(ours.weights.get(name), expected.weights.get(name)) for name in tensors)
