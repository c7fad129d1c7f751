"""Which attention an engine gets, and with how many blocks."""

from collections.abc import Sequence
from dataclasses import replace

from serving.model.attention.base import Attention, AttentionSpec
from serving.model.attention.cache import block_bytes
from serving.model.attention.compiled import CompiledAttention, runs_compiled
from serving.model.attention.eager import EagerAttention
from serving.model.attention.flash import flash_attention
from serving.model.kernels.library import kernels
from serving.model.precision import Precision
from serving.model.weights import ModelLoadError


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
