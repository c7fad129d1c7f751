"""The allocator of the paged KV cache: free blocks, reference counts, and the prefix cache over full blocks."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class BlockAllocator:
    """Allocates the blocks 0 to num_blocks - 1. Several sequences may share a block; without a reference it is free.

    A full block can be registered under a key that identifies its tokens and all tokens before them. `find` returns
    it until it is allocated again, also while it is free. Free blocks are allocated in the order in which they were
    freed.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(num_blocks))
        self._ref_counts = [0] * num_blocks
        self._keys: list[bytes | None] = [None] * num_blocks
        self._block_by_key: dict[bytes, int] = {}

    @property
    def num_free(self) -> int:
        """The number of blocks without a reference, registered ones included."""
        return len(self._free)

    def blocks_for(self, num_tokens: int) -> int:
        """The number of blocks that `num_tokens` tokens need."""
        return -(-num_tokens // self.block_size)

    def allocate(self, count: int) -> list[int]:
        """`count` free blocks with one reference each, the longest free first. Their registrations are removed.

        The caller must check `num_free` before.
        """
        assert count <= len(self._free), f"{count} blocks needed, {len(self._free)} free"
        blocks = [self._free.popitem(last=False)[0] for _ in range(count)]
        for block in blocks:
            self._ref_counts[block] = 1
            key = self._keys[block]
            if key is not None:
                del self._block_by_key[key]
                self._keys[block] = None
        return blocks

    def add_references(self, blocks: Iterable[int]) -> None:
        """Add a reference to each block. The blocks may be free."""
        for block in blocks:
            if not self._ref_counts[block]:
                del self._free[block]
            self._ref_counts[block] += 1

    def free(self, blocks: Iterable[int]) -> None:
        """Remove a reference from each block. A block is free when it has none left."""
        for block in blocks:
            assert self._ref_counts[block], f"block {block} has no reference"
            self._ref_counts[block] -= 1
            if not self._ref_counts[block]:
                self._free[block] = None

    def is_shared(self, block: int) -> bool:
        return self._ref_counts[block] > 1

    def is_free(self, block: int) -> bool:
        return not self._ref_counts[block]

    def register(self, block: int, key: bytes) -> None:
        """Let `find` return this full block for `key`. No effect if another block has the key already."""
        assert self._ref_counts[block], f"block {block} has no reference"
        if key not in self._block_by_key and self._keys[block] is None:
            self._block_by_key[key] = block
            self._keys[block] = key

    def forget(self) -> None:
        """Remove all registrations, also those of blocks in use."""
        self._keys = [None] * self.num_blocks
        self._block_by_key.clear()

    def find(self, keys: Sequence[bytes]) -> list[int]:
        """The blocks registered under `keys`, up to the first key without a block."""
        blocks = []
        for key in keys:
            block = self._block_by_key.get(key)
            if block is None:
                break
            blocks.append(block)
        return blocks
