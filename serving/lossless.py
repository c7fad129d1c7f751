"""Which knobs are lossless: they may change speed, never an answer."""

import shutil
from pathlib import Path

from serving.config import EngineConfig
from serving.model.kernels.library import LANES, kernels

LOSSLESS_KNOBS = frozenset(
    {
        "max_num_seqs",
        "max_num_batched_tokens",
        "chunked_prefill",
        "prefix_cache",
        "speculative",
        "num_speculative_tokens",
        "threads",
        "kv_cache_memory_mb",
    }
)
"""Those of an engine on the compiled kernels, whose sums do not depend on the batch a token is computed in."""


def lossless_knobs(config: EngineConfig) -> frozenset[str]:
    """The lossless knobs of an engine with this configuration on this machine: all of the above, or none.

    PyTorch's products, on a CPU as on a GPU, add in an order that depends on the number of rows, so that any knob that
    changes a batch may change an answer there. They are used without a C++ compiler, with `compile` off, on CUDA, and
    for KV blocks or attention heads whose size is not a multiple of 16. Only the heads' size is not looked at here:
    the model's file has it.
    """
    on_cpu = config.device == "cpu" or (config.device == "auto" and not _may_have_cuda())
    aligned = config.block_size % LANES == 0
    return LOSSLESS_KNOBS if on_cpu and config.compile and aligned and kernels() is not None else frozenset()


def _may_have_cuda() -> bool:
    """Whether `device: auto` may be CUDA, without loading PyTorch."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
