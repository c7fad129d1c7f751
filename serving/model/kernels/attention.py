"""Paged attention: the Python side of source/attention.cpp."""

import ctypes

import numpy as np
import torch
from numpy.typing import NDArray

from serving.model.kernels.library import kernels
from serving.model.kernels.linear import Format


class AttentionCall(ctypes.Structure):
    """`AttentionCall` of source/attention.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("qkv", "q_norm", "k_norm", "cos", "sin", "keys", "values")),
        *((name, ctypes.c_void_p) for name in ("positions", "slots", "starts", "tables", "out")),
        *((name, ctypes.c_int64) for name in ("tokens", "sequences", "heads", "kv_heads", "dim")),
        *((name, ctypes.c_int64) for name in ("block_size", "table_stride", "window", "rotated")),
        ("cache_type", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("eps", ctypes.c_float),
    )


class PagedAttention:
    """Normalizes and rotates queries and keys, caches keys and values, and attends, in one call. float32, on the CPU.

    `keys` is [blocks, kv_heads, head_dim, block_size], `values` is [blocks, kv_heads, block_size, head_dim].
    block_size and head_dim must be multiples of 16. `cos` and `sin` are [positions, rotated / 2]; the first `rotated`
    dimensions of a head are rotated.
    """

    def __init__(
        self,
        *,
        keys: torch.Tensor,
        values: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        heads: int,
        scale: float,
        window: int = 0,
        q_norm: torch.Tensor | None = None,
        k_norm: torch.Tensor | None = None,
        eps: float = 0.0,
    ) -> None:
        _, kv_heads, dim, block_size = keys.shape
        self._tensors = keys, values, cos, sin, q_norm, k_norm  # keeps them alive: the call has only addresses
        self._width = heads * dim
        library = kernels()
        assert library is not None, "the kernels are not available"
        self._run = library.serving_attention
        self.call = AttentionCall(
            keys=keys.data_ptr(),
            values=values.data_ptr(),
            cos=cos.data_ptr(),
            sin=sin.data_ptr(),
            q_norm=None if q_norm is None else q_norm.data_ptr(),
            k_norm=None if k_norm is None else k_norm.data_ptr(),
            heads=heads,
            kv_heads=kv_heads,
            dim=dim,
            block_size=block_size,
            window=window,
            rotated=2 * cos.shape[1],
            cache_type=Format[str(keys.dtype).removeprefix("torch.").upper()],
            scale=scale,
            eps=eps,
        )
        self._pointer = ctypes.byref(self.call)

    def __call__(self, qkv: torch.Tensor, rows: "PagedRows") -> torch.Tensor:
        """The result [tokens, heads * head_dim] of qkv [tokens, (heads + 2 * kv_heads) * head_dim], which is
        overwritten."""
        out = torch.empty(qkv.shape[0], self._width)
        call = self.call
        call.qkv, call.out = qkv.data_ptr(), out.data_ptr()
        call.positions, call.slots, call.starts, call.tables = rows.addresses
        call.tokens, call.sequences, call.table_stride = rows.sizes
        self._run(self._pointer)
        return out


class PagedRows:
    """The rows of a step as int64 arrays, and the arrays' addresses, which every layer uses.

    positions [tokens], slots [tokens] (block * block_size + offset), starts [sequences + 1] (the first row of each
    sequence), tables [sequences, width] (block ids).
    """

    def __init__(
        self,
        positions: NDArray[np.int64],
        slots: NDArray[np.int64],
        starts: NDArray[np.int64],
        tables: NDArray[np.int64],
    ) -> None:
        self._arrays = tuple(np.ascontiguousarray(a, np.int64) for a in (positions, slots, starts, tables))
        self.addresses = tuple(array.ctypes.data for array in self._arrays)
        self.sizes = len(positions), len(tables), tables.shape[1]
