from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.blocks import BlockAllocator


@given(st.lists(st.integers(0, 6), max_size=40))
def test_no_block_has_two_holders_and_none_is_lost(sizes: Sequence[int]) -> None:
    allocator = BlockAllocator(16, 4)
    holders: list[list[int]] = []
    for size in sizes:
        if size > allocator.num_free:
            allocator.free(holders.pop(0))
        else:
            holders.append(allocator.allocate(size))
        held = [block for blocks in holders for block in blocks]
        assert len(held) == len(set(held))
        assert len(held) + allocator.num_free == 16


def test_freeing_twice_is_refused() -> None:
    allocator = BlockAllocator(4, 4)
    blocks = allocator.allocate(2)
    allocator.free(blocks)
    with pytest.raises(AssertionError, match="not held"):
        allocator.free(blocks)


def test_allocating_more_than_is_free_is_refused() -> None:
    with pytest.raises(AssertionError, match="5 blocks wanted, 4 free"):
        BlockAllocator(4, 4).allocate(5)


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_blocks_for_tokens(tokens: int, blocks: int) -> None:
    assert BlockAllocator(4, 4).blocks_for(tokens) == blocks
