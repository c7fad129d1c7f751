"""Loads a model: weights, attention, KV cache and CUDA graphs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from serving.checkpoint.checkpoint import load_checkpoint
from serving.checkpoint.tokenizer import Tokenizer
from serving.config import EngineConfig
from serving.core import ModelLoadError
from serving.engine.runner import DecodeGraphs, ModelRunner, Runner
from serving.model.attention.base import Attention, AttentionSpec, block_bytes
from serving.model.attention.compiled import CompiledAttention, kernel_supports
from serving.model.attention.eager import EagerAttention
from serving.model.attention.flash import VarlenAttention, flash_attention
from serving.model.compiled import compiled_model
from serving.model.config import ModelConfig
from serving.model.kernels.library import kernels
from serving.model.parallel.group import Group
from serving.model.precision import Precision, choose_precision
from serving.model.registry import Model, build_model


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model with packed weights and an allocated KV cache. `facts` has the numbers for a roofline model."""

    config: ModelConfig
    tokenizer: Tokenizer
    runner: Runner
    max_model_len: int
    facts: Mapping[str, int]


def threads_per_process(config: EngineConfig) -> int:
    return config.threads or max(1, len(os.sched_getaffinity(0)) // config.tensor_parallel_size)


def load_model(path: Path, config: EngineConfig, group: Group | None = None) -> LoadedModel:
    """Load the model. Raises `ModelLoadError` for a broken file or a configuration that does not fit the model.

    With a group, loads this rank's part only: `facts` describe that part, and the caller must call `warm_up` on the
    runner once the ranks are connected.
    """
    checkpoint = load_checkpoint(path)
    model_config = checkpoint.config
    if config.max_model_len is not None and config.max_model_len > model_config.max_position:
        raise ModelLoadError(
            f"max_model_len {config.max_model_len} is more than the model's context of {model_config.max_position} "
            "tokens; lower it."
        )
    precision = choose_precision(
        config.dtype, config.device, config.quantization, config.kv_cache_dtype, compiled=config.compile
    )
    if group is not None:
        precision = replace(precision, device=group.rank_device(precision.device))
    longest = config.max_model_len or model_config.max_position
    # Bounded by the cache, since a file may claim any context length.
    positions = min(longest, _capacity(model_config, config, precision.kv_cache.itemsize))
    model = build_model(model_config, checkpoint.weights, precision, positions, group)
    attention = make_attention(
        model.attention_specs,
        precision,
        config.block_size,
        config.kv_cache_memory_mb,
        compiled=config.compile,
        max_kv_heads_per_rank=-(-model_config.num_kv_heads // config.tensor_parallel_size),
    )
    max_model_len = _max_model_len(config, longest, attention.num_blocks * config.block_size)
    graphs = _decode_graphs(model, attention, config, precision.device, max_model_len)
    runner = ModelRunner(compiled_model(model, attention), attention, precision.device, graphs)
    if group is None:
        runner.warm_up()
    return LoadedModel(
        config=model_config,
        tokenizer=checkpoint.tokenizer,
        runner=runner,
        max_model_len=max_model_len,
        facts={
            "num_parameters": model.num_parameters,
            "weight_bytes_per_step": model.weight_bytes_per_step,
            "kv_bytes_per_token": sum(2 * s.kv_heads * s.head_dim for s in model.attention_specs)
            * precision.kv_cache.itemsize,
            "num_layers": model_config.num_layers,
            "num_heads": model_config.num_heads,
            "hidden_size": model_config.hidden_size,
            "max_model_len": max_model_len,
        },
    )


def make_attention(
    specs: Sequence[AttentionSpec],
    precision: Precision,
    block_size: int,
    memory_mb: int,
    *,
    compiled: bool,
    max_kv_heads_per_rank: int = 0,
) -> Attention:
    """The attention for the device and the specs, with as many blocks as fit into `memory_mb` MiB.

    Raises `ModelLoadError` if not even one block fits. All ranks must have the same number of blocks, so each computes
    it with `max_kv_heads_per_rank`, if given, instead of its own number of KV heads.
    """
    sized = [replace(spec, kv_heads=max_kv_heads_per_rank) for spec in specs] if max_kv_heads_per_rank else specs
    size = block_bytes(sized, block_size, precision.kv_cache)
    num_blocks = memory_mb * 2**20 // size
    if num_blocks < 1:
        raise ModelLoadError(f"kv_cache_memory_mb {memory_mb} is too small: one KV block needs {size} bytes; raise it.")
    on_cpu = compiled and precision.device.type == "cpu" and kernels() is not None
    if on_cpu and kernel_supports(specs, block_size):
        return CompiledAttention(specs, num_blocks, block_size, precision.kv_cache)
    on_gpu = precision.device.type == "cuda"
    flash = flash_attention(specs, num_blocks, block_size, precision) if on_gpu else None
    return flash or EagerAttention(specs, num_blocks, block_size, precision.kv_cache, precision.device)


def _capacity(model: ModelConfig, config: EngineConfig, bytes_per_value: int) -> int:
    """An upper bound on the tokens that the KV cache can hold."""
    kv_heads = max(1, model.num_kv_heads // config.tensor_parallel_size)
    per_token = 2 * model.num_layers * kv_heads * model.head_dim * bytes_per_value
    return max(config.block_size, config.kv_cache_memory_mb * 2**20 // per_token)


def _decode_graphs(
    model: Model, attention: Attention, config: EngineConfig, device: torch.device, max_model_len: int
) -> DecodeGraphs | None:
    """Graphs on CUDA with `VarlenAttention`, which needs no work of the host during a step; else None."""
    if not (config.cuda_graphs and device.type == "cuda" and isinstance(attention, VarlenAttention)):
        return None
    return DecodeGraphs(model, attention, device, max_num_seqs=config.max_num_seqs, max_len=max_model_len)


def _max_model_len(config: EngineConfig, longest: int, capacity: int) -> int:
    """The configured length, or without one the part of the model's context that fits into the cache.

    Raises `ModelLoadError` if the configured length does not fit.
    """
    if config.max_model_len is None:
        return min(longest, capacity)
    if config.max_model_len > capacity:
        raise ModelLoadError(
            f"max_model_len {config.max_model_len} is more than the {capacity} tokens that the KV cache holds; "
            "lower it or raise kv_cache_memory_mb."
        )
    return config.max_model_len
