"""The allocator of the paged KV cache: which blocks are free, who holds which, and what the full ones contain."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class BlockAllocator:
    """Hands out block ids 0 .. num_blocks - 1. A block may have several holders; without any it is free.

    A full block can be sealed with a key that stands for its tokens and all before them. It is found by that key
    as long as it is not handed out anew, also when it is free: free blocks are handed out in the order in which
    they were freed.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(num_blocks))
        self._holders = [0] * num_blocks
        self._keys: list[bytes | None] = [None] * num_blocks
        self._sealed: dict[bytes, int] = {}

    @property
    def num_free(self) -> int:
        """Blocks without a holder; sealed ones among them are found until they are handed out."""
        return len(self._free)

    def blocks_for(self, num_tokens: int) -> int:
        """How many blocks hold this many tokens."""
        return -(-num_tokens // self.block_size)

    def allocate(self, count: int) -> list[int]:
        """`count` blocks, the longest free first; there must be as many free. What they held is forgotten."""
        assert count <= len(self._free), f"{count} blocks wanted, {len(self._free)} free"
        blocks = [self._free.popitem(last=False)[0] for _ in range(count)]
        for block in blocks:
            self._holders[block] = 1
            key = self._keys[block]
            if key is not None:
                del self._sealed[key]
                self._keys[block] = None
        return blocks

    def hold(self, blocks: Iterable[int]) -> None:
        """One more holder of each; free ones are free no longer."""
        for block in blocks:
            if not self._holders[block]:
                del self._free[block]
            self._holders[block] += 1

    def free(self, blocks: Iterable[int]) -> None:
        """One holder less of each; each must be held."""
        for block in blocks:
            assert self._holders[block], f"block {block} is not held"
            self._holders[block] -= 1
            if not self._holders[block]:
                self._free[block] = None

    def is_shared(self, block: int) -> bool:
        return self._holders[block] > 1

    def is_free(self, block: int) -> bool:
        return not self._holders[block]

    def register(self, block: int, key: bytes) -> None:
        """The block is full, and `key` stands for what it holds. Of two with the same contents one is found."""
        assert self._holders[block], f"block {block} is not held"
        if key not in self._sealed and self._keys[block] is None:
            self._sealed[key] = block
            self._keys[block] = key

    def find(self, keys: Sequence[bytes]) -> list[int]:
        """The blocks of the first keys, up to one that is not found."""
        found = []
        for key in keys:
            block = self._sealed.get(key)
            if block is None:
                break
            found.append(block)
        return found
