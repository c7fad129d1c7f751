"""The group of ranks that compute a model together, and its collective operations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

from serving.core import ModelLoadError
from serving.environment import keep_gloo_local

_TIMEOUT = timedelta(minutes=5)  # how long a rank waits for the others within a step


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rank `rank` of `size` processes. Rank 0 has the engine; the others run the same steps at the same time.

    Between `connect` and `disconnect` it uses PyTorch's default process group, of which a process has only one.
    """

    rank: int
    size: int

    def rank_device(self, device: torch.device) -> torch.device:
        """This rank's device: for "cuda" the GPU with the rank's number. `ModelLoadError` if there are too few GPUs."""
        if device.type != "cuda":
            return device
        if self.size > torch.cuda.device_count():
            raise ModelLoadError(
                f"tensor_parallel_size {self.size} needs as many GPUs, there are {torch.cuda.device_count()}; lower it."
            )
        torch.cuda.set_device(self.rank)
        return torch.device("cuda", self.rank)

    def connect(self, store: Path, device: torch.device) -> None:
        """Joins the process group. Returns when every rank has called it with the same `store`, a file that it
        creates."""
        keep_gloo_local()
        on_gpu = device.type == "cuda"
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=f"file://{store}",
            rank=self.rank,
            world_size=self.size,
            timeout=_TIMEOUT,
            device_id=device if on_gpu else None,
        )

    def disconnect(self) -> None:
        """Leaves the process group; does nothing if it is not connected."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def sum(self, x: torch.Tensor) -> torch.Tensor:
        """Sums x over the ranks, in place."""
        dist.all_reduce(x)
        return x

    def gather_columns(self, x: torch.Tensor, widths: Sequence[int]) -> torch.Tensor:
        """Gathers x [rows, widths[rank]]. Rank 0 gets the columns of all ranks [rows, sum of widths]; other ranks get x
        back."""
        widest = max(widths)
        padded = F.pad(x, (0, widest - x.shape[1])).contiguous()
        if self.rank != 0:
            dist.gather(padded, dst=0)
            return x
        parts = [torch.empty_like(padded) for _ in widths]
        dist.gather(padded, parts, dst=0)
        return torch.cat([part[:, :width] for part, width in zip(parts, widths, strict=True)], dim=1)
