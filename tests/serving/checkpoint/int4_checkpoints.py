"""Packs saved checkpoints as AWQ and as GPTQ, and writes the same checkpoints with the dequantized float32 weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # the output in each nibble of a word, the lowest first
Tensors = dict[str, NDArray[Any]]


def write_int4(directory: Path, packed: Path, plain: Path, *, about: dict[str, Any], act_order: bool = False) -> None:
    """Packs the projections of every layer; other tensors are unchanged. `about` is the quantization_config."""
    random = np.random.default_rng(0)
    tensors, dequantized = {}, {}
    for name, tensor in load_file(directory / "model.safetensors").items():
        if "_proj.weight" not in name:
            tensors[name] = dequantized[name] = tensor
            continue
        size = tensor.shape[1] if about["group_size"] == -1 else about["group_size"]
        parts, weight = quantized(tensor, about, size, random, act_order=act_order)
        tensors |= {f"{name.removesuffix('weight')}{part}": value for part, value in parts.items()}
        dequantized[name] = weight
    config = json.loads((directory / "config.json").read_text())
    for target, content, more in ((packed, tensors, {"quantization_config": about}), (plain, dequantized, {})):
        target.mkdir()
        save_file(content, target / "model.safetensors", metadata={"format": "pt"})
        (target / "config.json").write_text(json.dumps(config | more))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (target / name).write_bytes((directory / name).read_bytes())


def quantized(
    weight: NDArray[np.float32], about: dict[str, Any], size: int, random: np.random.Generator, *, act_order: bool
) -> tuple[Tensors, NDArray[np.float32]]:
    """The packed tensors of a matrix [outputs, inputs], and (value - zero point) * scale of each of its weights."""
    inputs = weight.shape[1]
    g_idx = np.arange(inputs) // size
    if act_order:
        g_idx = random.permutation(g_idx)
    groups = int(g_idx.max()) + 1
    scales = np.stack([np.abs(weight[:, g_idx == group]).max(axis=1) / 8 for group in range(groups)])
    scales = scales.astype(np.float16)
    asymmetric = about["quant_method"] == "awq" or not about["sym"]
    zeros = random.integers(1 if about.get("checkpoint_format") == "gptq" else 0, 16, scales.shape)
    zeros = zeros if asymmetric else np.full(scales.shape, 8)
    scale, zero = scales.astype(np.float32)[g_idx].T, zeros[g_idx].T
    values = np.clip(np.rint(weight / scale) + zero, 0, 15).astype(np.int64)
    if about["quant_method"] == "awq":
        tensors = {"qweight": words(values.T, AWQ_ORDER), "qzeros": words(zeros, AWQ_ORDER)}
    else:
        offset = 1 if about.get("checkpoint_format") == "gptq" else 0
        tensors = {"qweight": words(values, range(8)).T, "qzeros": words(zeros - offset, range(8))}
        tensors["g_idx"] = g_idx.astype(np.int32)
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return tensors | {"scales": scales}, ((values - zero) * scale).astype(np.float32)


def words(values: NDArray[np.int64], order: Any) -> NDArray[np.int32]:
    """[rows, columns] to [rows, columns / 8]."""
    nibbles = values.reshape(len(values), -1, 8)[:, :, list(order)]
    packed: NDArray[np.int32] = (nibbles << np.arange(0, 32, 4)).sum(axis=-1).astype(np.uint32).view(np.int32)
    return packed


def as_torch(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {f"x.{name}": torch.from_numpy(tensor) for name, tensor in tensors.items()}
