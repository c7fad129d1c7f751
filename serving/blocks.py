"""Which blocks of the paged KV cache are free, and which sequence holds which."""

from collections import deque
from collections.abc import Iterable


class BlockAllocator:
    """Hands out block ids 0 .. num_blocks - 1, each to one holder at a time.

    Freed blocks go to the end of the queue, so that the contents of a block survive for as long as possible.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._free = deque(range(num_blocks))
        self._held = [False] * num_blocks

    @property
    def num_free(self) -> int:
        return len(self._free)

    def blocks_for(self, num_tokens: int) -> int:
        """How many blocks hold this many tokens."""
        return -(-num_tokens // self.block_size)

    def allocate(self, count: int) -> list[int]:
        """`count` blocks; there must be as many free."""
        assert count <= len(self._free), f"{count} blocks wanted, {len(self._free)} free"
        blocks = [self._free.popleft() for _ in range(count)]
        for block in blocks:
            self._held[block] = True
        return blocks

    def free(self, blocks: Iterable[int]) -> None:
        """Give blocks back; each must be held."""
        for block in blocks:
            assert self._held[block], f"block {block} is not held"
            self._held[block] = False
            self._free.append(block)
