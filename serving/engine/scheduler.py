"""Chooses which sequences run in the next step, and how many tokens of each. It needs no torch."""

from collections import deque

from serving.config import EngineConfig
from serving.core import ScheduledSequence, Sequence
from serving.engine.blocks import BlockAllocator


class NeverFits(ValueError):
    """The request needs more KV blocks than there are."""


class Scheduler:
    """First come, first served; prefill and decode share a step.

    Sequences that run get their tokens in the order of admission, each at least one when it decodes, then waiting
    ones are admitted while the step's budget, `max_num_seqs` and the free blocks last. A sequence takes over the
    blocks that hold its first tokens already (the prefix cache). When a running sequence needs a block and none is
    free, the last admitted gives up its blocks and waits, first in line, to be computed again.
    The first admitted can always go on, so that every sequence ends.

    Without chunked prefill a prompt longer than the budget is still computed in one piece, one such a step.
    """

    def __init__(self, config: EngineConfig, allocator: BlockAllocator) -> None:
        self._budget = config.max_num_batched_tokens
        self._chunked_prefill, self._prefix_cache = config.chunked_prefill, config.prefix_cache
        # Each running sequence needs at least one token of the budget.
        self._max_running = min(config.max_num_seqs, self._budget)
        self._allocator = allocator
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self.preemptions = 0
        self.cached_tokens = 0  # found in the prefix cache when a request was first admitted

    def check(self, sequence: Sequence) -> None:
        """`NeverFits` when even alone it would run out of blocks. Safe from any thread."""
        needed = self._allocator.blocks_for(sequence.max_total_tokens)
        if needed > self._allocator.num_blocks:
            raise NeverFits(
                f"prompt and answer of {sequence.max_total_tokens} tokens need {needed} KV blocks, "
                f"there are {self._allocator.num_blocks}: lower max_tokens or raise kv_cache_memory_mb."
            )

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence that has passed `check`."""
        self.waiting.append(sequence)

    def find(self, request_id: str) -> list[Sequence]:
        """The answers of a request that have not ended."""
        return [sequence for sequence in (*self.running, *self.waiting) if sequence.id == request_id]

    def remove(self, sequence: Sequence) -> None:
        """It has ended, for whatever reason: free its blocks at once."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self._release(sequence)

    def fork(self, parent: Sequence, child: Sequence) -> None:
        """`child` has the same tokens as `parent`: it shares the blocks if it can run now, else it waits."""
        if len(self.running) < self._max_running:
            # Not the blocks beyond, which the parent has for drafts that were not confirmed: both would write to them.
            child.block_table = parent.block_table[: self._allocator.blocks_for(parent.num_computed)]
            child.num_computed, child.num_registered = parent.num_computed, parent.num_registered
            self._allocator.hold(child.block_table)
            self.running.append(child)
        else:
            self.waiting.appendleft(child)

    def advance(self, sequence: Sequence, count: int) -> None:
        """`count` more of its tokens are computed. Blocks that are full now are found by later sequences."""
        sequence.num_computed += count
        full = sequence.num_computed // self._allocator.block_size
        if not self._prefix_cache or full <= sequence.num_registered:
            return
        keys = sequence.hash_blocks(self._allocator.block_size)
        for index in range(sequence.num_registered, full):
            self._allocator.register(sequence.block_table[index], keys[index])
        sequence.num_registered = full

    def schedule(self) -> list[ScheduledSequence]:
        """The next step; empty when there is nothing. The caller tells with `advance` what it has computed."""
        step = self._continue_running()
        self._admit_waiting(step)
        return step

    def _continue_running(self) -> list[ScheduledSequence]:
        step: list[ScheduledSequence] = []
        decoding = sum(sequence.num_uncomputed == 1 for sequence in self.running)
        left = self._budget
        for sequence in tuple(self.running):
            if sequence not in self.running:
                break  # preempted for an earlier one, as are all after it
            decoding -= sequence.num_uncomputed == 1
            count = self._piece(sequence, left - decoding, alone=all(item.count == 1 for item in step))
            if count and self._make_room(sequence, count):
                drafts = self._affordable_drafts(sequence, left - decoding - count)
                step.append(self._grant(sequence, count, drafts))
                left -= count + len(drafts)
        return step

    def _admit_waiting(self, step: list[ScheduledSequence]) -> None:
        left = self._budget - sum(item.count for item in step)
        while self.waiting and len(self.running) < self._max_running:
            sequence = self.waiting[0]
            cached = self._cached_prefix(sequence)
            sequence.num_computed = len(cached) * self._allocator.block_size
            count = self._piece(sequence, left, alone=all(item.count == 1 for item in step))
            # The whole of it must fit now, lest it is preempted before it has produced anything.
            if not count or not self._fits(sequence, cached):
                sequence.num_computed = 0
                return
            self._take_over(sequence, cached)
            self.running.append(self.waiting.popleft())
            step.append(self._grant(sequence, count))
            left -= count

    def _cached_prefix(self, sequence: Sequence) -> list[int]:
        """The blocks that hold its first tokens; the last token is always computed, since it is sampled from."""
        if not self._prefix_cache:
            return []
        most = (len(sequence.token_ids) - 1) // self._allocator.block_size
        return self._allocator.find(sequence.hash_blocks(self._allocator.block_size)[:most])

    def _fits(self, sequence: Sequence, cached: list[int]) -> bool:
        missing = self._allocator.blocks_for(len(sequence.token_ids)) - len(cached)
        return missing + sum(map(self._allocator.is_free, cached)) <= self._allocator.num_free

    def _take_over(self, sequence: Sequence, cached: list[int]) -> None:
        self._allocator.hold(cached)
        sequence.block_table = cached
        sequence.num_registered = len(cached)
        if sequence.cached_tokens is None:
            sequence.cached_tokens = sequence.num_computed
            self.cached_tokens += sequence.num_computed

    def _piece(self, sequence: Sequence, left: int, *, alone: bool) -> int:
        """How many of its known tokens the rest of the step's budget allows."""
        wanted = sequence.num_uncomputed
        if self._chunked_prefill or wanted <= left:
            return max(0, min(wanted, left))
        return wanted if wanted > self._budget and alone else 0

    def _affordable_drafts(self, sequence: Sequence, left: int) -> tuple[int, ...]:
        """As many drafts as budget and free blocks allow, only when they follow the last token directly."""
        if sequence.num_uncomputed != 1 or not sequence.drafts:
            return ()
        slots = len(sequence.block_table) + self._allocator.num_free - 2  # one may go to a copy, one to the token
        room = slots * self._allocator.block_size - sequence.num_computed
        return sequence.drafts[: max(0, min(left, room))]

    def _make_room(self, sequence: Sequence, count: int) -> bool:
        """Preempt from the end until `count` more tokens fit; False when the sequence itself had to go."""
        while self._missing_blocks(sequence, count) > self._allocator.num_free:
            victim = self.running.pop()
            self._release(victim)
            victim.num_computed = 0
            self.waiting.appendleft(victim)
            self.preemptions += 1
            if victim is sequence:
                return False
        return True

    def _grant(self, sequence: Sequence, count: int, drafts: tuple[int, ...] = ()) -> ScheduledSequence:
        copies = self._own_last_block(sequence)
        count += len(drafts)
        sequence.block_table += self._allocator.allocate(self._missing_blocks(sequence, count))
        return ScheduledSequence(
            sequence=sequence, start=sequence.num_computed, count=count, drafts=drafts, copies=copies
        )

    def _own_last_block(self, sequence: Sequence) -> tuple[tuple[int, int], ...]:
        """Copy on write: the block that takes the next token must have no other holder."""
        if not self._shares_last_block(sequence):
            return ()
        index = sequence.num_computed // self._allocator.block_size
        source, [target] = sequence.block_table[index], self._allocator.allocate(1)
        self._allocator.free([source])
        sequence.block_table[index] = target
        return ((source, target),)

    def _shares_last_block(self, sequence: Sequence) -> bool:
        index = sequence.num_computed // self._allocator.block_size
        return index < len(sequence.block_table) and self._allocator.is_shared(sequence.block_table[index])

    def _missing_blocks(self, sequence: Sequence, count: int) -> int:
        more = self._allocator.blocks_for(sequence.num_computed + count) - len(sequence.block_table)
        return max(0, more) + self._shares_last_block(sequence)

    def _release(self, sequence: Sequence) -> None:
        """The last block is freed first: what follows a prefix is forgotten before the prefix."""
        self._allocator.free(reversed(sequence.block_table))
        sequence.block_table = []
        sequence.num_registered = 0
