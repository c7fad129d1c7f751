"""Writes saved checkpoints as GGUF files, with the names and conventions of the format's own converter."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers.pre_tokenizers import ByteLevel

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "phi3": gguf.MODEL_ARCH.PHI3,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}


def write_gguf_model(
    directory: Path, path: Path, kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32
) -> Path:
    """Matrices have the type `kind`; norms and biases are float32."""
    config = json.loads((directory / "config.json").read_text())
    architecture = ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    _add_config(writer, config)
    add_byte_tokenizer(writer)
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    for name, tensor in load_file(directory / "model.safetensors").items():
        renamed = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert renamed is not None, name
        _add_tensor(writer, renamed, _as_the_converter_does(name, tensor, config), kind)
    write(writer)
    return path


def write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_byte_tokenizer(writer: gguf.GGUFWriter) -> None:
    """A tokenizer with a token for each byte except the last, which is "ab" instead, and an end-of-turn token."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*sorted(ByteLevel.alphabet())[:-1], "ab", "<|im_end|>"])
    writer.add_token_types([1] * 256 + [3])
    writer.add_token_merges(["a b"])  # the writer leaves out an empty list
    writer.add_eos_token_id(256)


def _add_config(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if config.get("head_dim"):
        writer.add_key_length(config["head_dim"])
    rope = config["rope_parameters"]
    if config["model_type"] == "gemma3_text":
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    elif config["model_type"] in ("mistral", "phi3"):
        writer.add_sliding_window(config["sliding_window"] or 0)
    _add_rope(writer, config, rope)


def _add_rope(writer: gguf.GGUFWriter, config: dict[str, Any], rope: dict[str, Any]) -> None:
    writer.add_rope_freq_base(rope["rope_theta"])
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_rope_dimension_count(int(dim * rope.get("partial_rotary_factor", 1.0)))
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "longrope":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        scale = config["max_position_embeddings"] / rope["original_max_position_embeddings"]
        magnitude = np.sqrt(1 + np.log(scale) / np.log(rope["original_max_position_embeddings"]))
        writer.add_rope_scaling_attn_factors(float(magnitude))
        for kind in ("short", "long"):
            writer.add_tensor(f"rope_factors_{kind}.weight", np.array(rope[f"{kind}_factor"], np.float32))
    if rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_factors(rope, dim))


def _llama3_factors(rope: dict[str, Any], dim: int) -> NDArray[np.float32]:
    """What each frequency is divided by."""
    factors = []
    for frequency in 1 / rope["rope_theta"] ** (np.arange(0, dim, 2) / dim):
        turns = rope["original_max_position_embeddings"] * frequency / (2 * np.pi)
        kept = (turns - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
        kept = min(1, max(0, kept))
        factors.append(1 / ((1 - kept) / rope["factor"] + kept))
    return np.array(factors, np.float32)


def _as_the_converter_does(name: str, tensor: NDArray[np.float32], config: dict[str, Any]) -> NDArray[np.float32]:
    part = name.split(".")[-2]
    if config["model_type"] in ("llama", "mistral") and part in ("q_proj", "k_proj"):
        heads = config["num_attention_heads" if part == "q_proj" else "num_key_value_heads"]
        halves = tensor.reshape(heads, 2, -1, *tensor.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(tensor.shape))
    return tensor + np.float32(1) if config["model_type"] == "gemma3_text" and "norm" in part else tensor


def _add_tensor(
    writer: gguf.GGUFWriter, name: str, tensor: NDArray[np.float32], kind: gguf.GGMLQuantizationType
) -> None:
    if tensor.ndim == 1 or kind == gguf.GGMLQuantizationType.F32:
        writer.add_tensor(name, tensor)
    else:
        writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
