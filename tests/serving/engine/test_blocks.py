from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.blocks import BlockAllocator


@given(st.lists(st.integers(0, 6), max_size=40))
def test_no_block_is_allocated_twice_and_none_is_lost(sizes: Sequence[int]) -> None:
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
    with pytest.raises(AssertionError, match="has no reference"):
        allocator.free(blocks)


def test_allocating_more_than_is_free_is_refused() -> None:
    with pytest.raises(AssertionError, match="5 blocks needed, 4 free"):
        BlockAllocator(4, 4).allocate(5)


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_blocks_for_tokens(tokens: int, blocks: int) -> None:
    assert BlockAllocator(4, 4).blocks_for(tokens) == blocks


def test_a_registered_block_is_found_until_it_is_allocated_again() -> None:
    allocator = BlockAllocator(2, 4)
    [block] = allocator.allocate(1)
    allocator.register(block, b"first")
    allocator.free([block])
    assert allocator.find([b"first", b"second"]) == [block]
    assert allocator.num_free == 2
    assert block in allocator.allocate(2)
    assert allocator.find([b"first"]) == []


def test_what_is_forgotten_is_not_found_and_no_block_is_lost() -> None:
    allocator = BlockAllocator(2, 4)
    free, used = allocator.allocate(2)
    allocator.register(free, b"first")
    allocator.register(used, b"second")
    allocator.free([free])
    allocator.forget()
    assert allocator.find([b"first"]) == allocator.find([b"second"]) == []
    assert allocator.num_free == 1
    allocator.register(used, b"second")
    assert allocator.find([b"second"]) == [used]
    allocator.free([used])
    assert len(allocator.allocate(2)) == 2


def test_the_longest_free_block_is_allocated_first() -> None:
    allocator = BlockAllocator(3, 4)
    blocks = allocator.allocate(3)
    allocator.free([blocks[1]])
    allocator.free([blocks[2], blocks[0]])
    assert allocator.allocate(3) == [blocks[1], blocks[2], blocks[0]]


def test_a_shared_block_is_free_without_its_last_reference() -> None:
    allocator = BlockAllocator(2, 4)
    blocks = allocator.allocate(1)
    allocator.add_references(blocks)
    assert allocator.is_shared(blocks[0])
    allocator.free(blocks)
    assert not allocator.is_free(blocks[0])
    allocator.free(blocks)
    assert allocator.num_free == 2


def test_of_two_blocks_with_the_same_contents_the_first_is_found() -> None:
    allocator = BlockAllocator(2, 4)
    first, second = allocator.allocate(2)
    allocator.register(first, b"same")
    allocator.register(second, b"same")
    assert allocator.find([b"same"]) == [first]
    allocator.free([second])
    allocator.free(allocator.allocate(1))
    assert allocator.find([b"same"]) == [first]
