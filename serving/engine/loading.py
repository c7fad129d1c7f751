"""Loads a model by its path and configuration: weights, attention, KV cache and CUDA graphs."""

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
from serving.model.attention.compiled import CompiledAttention, runs_compiled
from serving.model.attention.eager import EagerAttention
from serving.model.attention.flash import VarlenAttention, flash_attention
from serving.model.compiled import compiled
from serving.model.config import ModelConfig
from serving.model.kernels.library import kernels
from serving.model.parallel.group import Group
from serving.model.precision import Precision, choose_precision
from serving.model.registry import Model, build_model


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model with its weights packed and its cache allocated. `facts` are what rooflines need."""

    config: ModelConfig
    tokenizer: Tokenizer
    runner: Runner
    max_model_len: int
    facts: Mapping[str, int]


def num_threads(config: EngineConfig) -> int:
    """Of each process."""
    return config.threads or max(1, len(os.sched_getaffinity(0)) // config.tensor_parallel_size)


def load_model(path: Path, config: EngineConfig, group: Group | None = None) -> LoadedModel:
    """With a group, this rank's part, and facts about it alone; its runner is yet to be warmed up.

    `ModelLoadError` for a file that is broken or a configuration that it can't have.
    """
    checkpoint = load_checkpoint(path)
    model_config = checkpoint.config
    if config.max_model_len is not None and config.max_model_len > model_config.max_position:
        raise ModelLoadError(
            f"max_model_len {config.max_model_len} is more than the model's context of {model_config.max_position}; "
            "lower it."
        )
    precision = choose_precision(
        config.dtype, config.device, config.quantization, config.kv_cache_dtype, compiled=config.compile
    )
    if group is not None:
        precision = replace(precision, device=group.own(precision.device))
    longest = config.max_model_len or model_config.max_position
    # No more positions than the cache could hold: a file may claim any context.
    positions = min(longest, _capacity(model_config, config, precision.kv_cache.itemsize))
    model = build_model(model_config, checkpoint.weights, precision, positions, group)
    attention = make_attention(
        model.attention_specs,
        precision,
        config.block_size,
        config.kv_cache_memory_mb,
        compiled=config.compile,
        most_kv_heads=-(-model_config.num_kv_heads // config.tensor_parallel_size),
    )
    max_model_len = _max_model_len(config, longest, attention.num_blocks * config.block_size)
    graphs = _decode_graphs(model, attention, config, precision.device, max_model_len)
    runner = ModelRunner(compiled(model, attention), attention, precision.device, graphs)
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
    most_kv_heads: int = 0,
) -> Attention:
    """With as many blocks as `memory_mb` MiB hold; `ModelLoadError` if that is none.

    Ranks that share a model count alike: as if each had the `most_kv_heads` that any of them has.
    """
    counted = [replace(spec, kv_heads=most_kv_heads) for spec in specs] if most_kv_heads else specs
    size = block_bytes(counted, block_size, precision.kv_cache)
    num_blocks = memory_mb * 2**20 // size
    if num_blocks < 1:
        raise ModelLoadError(f"kv_cache_memory_mb {memory_mb} holds no KV block of {size} bytes; raise it.")
    on_cpu = compiled and precision.device.type == "cpu" and kernels() is not None
    if on_cpu and runs_compiled(specs, block_size):
        return CompiledAttention(specs, num_blocks, block_size, precision.kv_cache)
    on_gpu = precision.device.type == "cuda"
    flash = flash_attention(specs, num_blocks, block_size, precision) if on_gpu else None
    return flash or EagerAttention(specs, num_blocks, block_size, precision.kv_cache, precision.device)


def _capacity(model: ModelConfig, config: EngineConfig, bytes_per_value: int) -> int:
    """Tokens that the KV cache holds at most."""
    kv_heads = max(1, model.num_kv_heads // config.tensor_parallel_size)
    per_token = 2 * model.num_layers * kv_heads * model.head_dim * bytes_per_value
    return max(config.block_size, config.kv_cache_memory_mb * 2**20 // per_token)


def _decode_graphs(
    model: Model, attention: Attention, config: EngineConfig, device: torch.device, max_model_len: int
) -> DecodeGraphs | None:
    """On CUDA, where the attention needs nothing of the host in a step."""
    if not (config.cuda_graphs and device.type == "cuda" and isinstance(attention, VarlenAttention)):
        return None
    return DecodeGraphs(model, attention, device, max_num_seqs=config.max_num_seqs, max_len=max_model_len)


def _max_model_len(config: EngineConfig, longest: int, capacity: int) -> int:
    """The configured length if the cache holds it; else as much of the model's context as it does."""
    if config.max_model_len is None:
        return min(longest, capacity)
    if config.max_model_len > capacity:
        raise ModelLoadError(
            f"max_model_len {config.max_model_len} is more than the {capacity} tokens of the KV cache; "
            "lower it or raise kv_cache_memory_mb."
        )
    return config.max_model_len
