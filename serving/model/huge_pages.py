"""Allocates CPU memory on huge pages, and returns freed memory to the system."""

import ctypes
import mmap

import torch

HUGE_PAGE = 2 * 2**20


def zeroed_bytes(count: int) -> torch.Tensor:
    """uint8 zeros [count]. The system provides each page when it is first used.

    On huge pages where the system has them: with small pages, the memory that a step reads has more pages than the
    processor's TLB has entries.
    """
    if count < HUGE_PAGE:
        return torch.zeros(count, dtype=torch.uint8)
    memory = _memory(count + HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    unaligned = torch.frombuffer(memory, dtype=torch.uint8)
    return unaligned[-unaligned.data_ptr() % HUGE_PAGE :][:count]


def _memory(count: int) -> mmap.mmap:
    """Private to the process where the system tells such memory apart: Linux gives shared memory small pages."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, count)
    return mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def return_freed_memory() -> None:
    """Returns freed memory to the system. glibc would keep freed memory between used blocks. While a model's weights
    are moved, that is as much as all of them."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
