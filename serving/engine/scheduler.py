"""Chooses the sequences of the next step and the number of tokens of each. Does not import torch."""

from collections import deque

from serving.config import EngineConfig
from serving.core import ScheduledSequence, Sequence
from serving.engine.blocks import BlockAllocator


class CacheTooSmall(ValueError):
    """The request needs more KV blocks than the cache has."""


class Scheduler:
    """Schedules first come, first served. Prefill and decode share a step.

    Running sequences get tokens in the order of admission. Every decoding sequence gets at least one. Then waiting
    sequences are admitted, as far as the token budget of the step, `max_num_seqs` and the free blocks allow. A
    sequence reuses the blocks that already hold its first tokens (the prefix cache). If a running sequence needs a
    block and none is free, the sequence that was admitted last is preempted: its blocks are freed, it becomes the
    first waiting sequence, and it is computed again later. The sequence admitted first is never preempted for
    another one, so every sequence ends.

    Without chunked prefill, a prompt longer than the budget is computed in one step. A step has at most one of these.
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
        self.cached_tokens = 0  # prompt tokens found in the prefix cache at a sequence's first admission

    def check(self, sequence: Sequence) -> None:
        """Raise `CacheTooSmall` if the sequence would not fit even alone. Thread-safe."""
        needed = self._allocator.blocks_for(sequence.max_total_tokens)
        if needed > self._allocator.num_blocks:
            raise CacheTooSmall(
                f"prompt and answer of {sequence.max_total_tokens} tokens need {needed} KV blocks, "
                f"there are {self._allocator.num_blocks}: lower max_tokens or raise kv_cache_memory_mb."
            )

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence that has passed `check`."""
        self.waiting.append(sequence)

    def reset_prefix_cache(self) -> None:
        """No later sequence finds a block that was computed before. Sequences that run keep theirs."""
        self._allocator.forget()

    def find(self, request_id: str) -> list[Sequence]:
        """The running and waiting answers of a request."""
        return [sequence for sequence in (*self.running, *self.waiting) if sequence.id == request_id]

    def remove(self, sequence: Sequence) -> None:
        """Remove a sequence that has ended, and free its blocks."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self._release(sequence)

    def fork(self, parent: Sequence, child: Sequence) -> None:
        """Add `child`, a fork of `parent`. If it can run now it shares the computed blocks, else it waits."""
        if len(self.running) < self._max_running:
            # The parent may have more blocks, for rejected drafts. Sharing them would let both write to them.
            child.block_table = parent.block_table[: self._allocator.blocks_for(parent.num_computed)]
            child.num_computed, child.num_registered = parent.num_computed, parent.num_registered
            self._allocator.add_references(child.block_table)
            self.running.append(child)
        else:
            self.waiting.appendleft(child)

    def advance(self, sequence: Sequence, count: int) -> None:
        """Count `count` more tokens as computed, and register newly full blocks in the prefix cache."""
        sequence.num_computed += count
        full = sequence.num_computed // self._allocator.block_size
        if not self._prefix_cache or full <= sequence.num_registered:
            return
        keys = sequence.hash_blocks(self._allocator.block_size)
        for index in range(sequence.num_registered, full):
            self._allocator.register(sequence.block_table[index], keys[index])
        sequence.num_registered = full

    def schedule(self) -> list[ScheduledSequence]:
        """The next step; empty if there is no sequence. The caller must call `advance` for the computed tokens."""
        step = self._continue_running()
        self._admit_waiting(step)
        return step

    def _continue_running(self) -> list[ScheduledSequence]:
        """Schedule the running sequences. Preempts sequences if blocks are missing."""
        step: list[ScheduledSequence] = []
        # One token of the budget for each decoding sequence that this loop has not reached yet.
        reserved = sum(sequence.num_uncomputed == 1 for sequence in self.running)
        left = self._budget
        for sequence in tuple(self.running):
            if sequence not in self.running:
                break  # it was preempted for an earlier sequence, and so were all after it
            reserved -= sequence.num_uncomputed == 1
            count = self._chunk_size(sequence, left - reserved, alone=all(item.count == 1 for item in step))
            if count and self._preempt_until_fits(sequence, count):
                drafts = self._drafts_that_fit(sequence, left - reserved - count)
                step.append(self._schedule_tokens(sequence, count, drafts))
                left -= count + len(drafts)
        return step

    def _admit_waiting(self, step: list[ScheduledSequence]) -> None:
        left = self._budget - sum(item.count for item in step)
        while self.waiting and len(self.running) < self._max_running:
            sequence = self.waiting[0]
            cached = self._cached_prefix(sequence)
            sequence.num_computed = len(cached) * self._allocator.block_size
            count = self._chunk_size(sequence, left, alone=all(item.count == 1 for item in step))
            # All its tokens must fit, not only this chunk: else it might be preempted before it generates a token.
            if not count or not self._fits(sequence, cached):
                sequence.num_computed = 0
                return
            self._reuse_blocks(sequence, cached)
            self.running.append(self.waiting.popleft())
            step.append(self._schedule_tokens(sequence, count))
            left -= count

    def _cached_prefix(self, sequence: Sequence) -> list[int]:
        """The cached blocks of the first tokens. The last token is always computed: its logits are sampled."""
        if not self._prefix_cache:
            return []
        max_blocks = (len(sequence.token_ids) - 1) // self._allocator.block_size
        return self._allocator.find(sequence.hash_blocks(self._allocator.block_size)[:max_blocks])

    def _fits(self, sequence: Sequence, cached: list[int]) -> bool:
        """Whether enough blocks are free for all tokens. Cached blocks that are free are no longer free then."""
        missing = self._allocator.blocks_for(len(sequence.token_ids)) - len(cached)
        return missing + sum(map(self._allocator.is_free, cached)) <= self._allocator.num_free

    def _reuse_blocks(self, sequence: Sequence, cached: list[int]) -> None:
        self._allocator.add_references(cached)
        sequence.block_table = cached
        sequence.num_registered = len(cached)
        if sequence.cached_tokens is None:
            sequence.cached_tokens = sequence.num_computed
            self.cached_tokens += sequence.num_computed

    def _chunk_size(self, sequence: Sequence, left: int, *, alone: bool) -> int:
        """The number of uncomputed tokens to compute in this step, with `left` tokens of the budget.

        Without chunked prefill it is all of them or none. A prompt longer than the whole budget is allowed if it is
        `alone`: all other sequences of the step have one token.
        """
        uncomputed = sequence.num_uncomputed
        if self._chunked_prefill or uncomputed <= left:
            return max(0, min(uncomputed, left))
        return uncomputed if uncomputed > self._budget and alone else 0

    def _drafts_that_fit(self, sequence: Sequence, left: int) -> tuple[int, ...]:
        """The first drafts, as far as budget and free blocks allow; none during prefill."""
        if sequence.num_uncomputed != 1 or not sequence.drafts:
            return ()
        # Two free blocks are set aside: one for a copied block, one for the token itself.
        num_blocks = len(sequence.block_table) + self._allocator.num_free - 2
        room = num_blocks * self._allocator.block_size - sequence.num_computed
        return sequence.drafts[: max(0, min(left, room))]

    def _preempt_until_fits(self, sequence: Sequence, count: int) -> bool:
        """Preempt the last admitted sequences until `count` more tokens of this one fit.

        Returns False if this sequence itself was preempted.
        """
        while self._missing_blocks(sequence, count) > self._allocator.num_free:
            victim = self.running.pop()
            self._release(victim)
            victim.num_computed = 0
            self.waiting.appendleft(victim)
            self.preemptions += 1
            if victim is sequence:
                return False
        return True

    def _schedule_tokens(self, sequence: Sequence, count: int, drafts: tuple[int, ...] = ()) -> ScheduledSequence:
        """Allocate the blocks of `count` tokens and the drafts."""
        copies = self._copy_shared_last_block(sequence)
        count += len(drafts)
        sequence.block_table += self._allocator.allocate(self._missing_blocks(sequence, count))
        return ScheduledSequence(
            sequence=sequence, start=sequence.num_computed, count=count, drafts=drafts, copies=copies
        )

    def _copy_shared_last_block(self, sequence: Sequence) -> tuple[tuple[int, int], ...]:
        """Copy on write: replace the block of the next token by a copy if another sequence shares it."""
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
        """The number of free blocks that `count` more tokens need, including a copy of a shared block."""
        more = self._allocator.blocks_for(sequence.num_computed + count) - len(sequence.block_table)
        return max(0, more) + self._shares_last_block(sequence)

    def _release(self, sequence: Sequence) -> None:
        """Free the blocks, the last one first: the prefix cache then loses the end of a prefix before its beginning."""
        self._allocator.free(reversed(sequence.block_table))
        sequence.block_table = []
        sequence.num_registered = 0
