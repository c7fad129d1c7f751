"""Which sequences run in the next step, and how many tokens of each. No torch here."""

from collections import deque
from dataclasses import dataclass

from serving.blocks import BlockAllocator
from serving.sequence import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledSequence:
    """Tokens [start, start + count) of a sequence, to be computed in one step."""

    sequence: Sequence
    start: int
    count: int

    @property
    def samples(self) -> bool:
        """Whether these are the last tokens known, so that the next one is sampled."""
        return self.start + self.count == len(self.sequence.token_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLimits:
    """See `EngineConfig`."""

    max_num_seqs: int
    max_num_batched_tokens: int
    chunked_prefill: bool = True


class NeverFits(ValueError):
    """The request needs more KV blocks than there are."""


class Scheduler:
    """First come, first served; prefill and decode share a step.

    Sequences that run get their tokens in the order of admission, then waiting ones are admitted while the
    step's budget, `max_num_seqs` and the free blocks last. When a running sequence needs a block and none is
    free, the last admitted gives up its blocks and waits, first in line, to be computed again.
    The first admitted can always go on, so that every sequence ends.

    Without chunked prefill a prompt longer than the budget is still computed in one piece, one such a step.
    """

    def __init__(self, limits: SchedulerLimits, allocator: BlockAllocator) -> None:
        self._limits = limits
        # Each running sequence needs at least one token of the budget.
        self._max_running = min(limits.max_num_seqs, limits.max_num_batched_tokens)
        self._allocator = allocator
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()

    def add(self, sequence: Sequence) -> None:
        """Queue it; `NeverFits` when even alone it would run out of blocks."""
        needed = self._allocator.blocks_for(sequence.max_total_tokens)
        if needed > self._allocator.num_blocks:
            raise NeverFits(
                f"prompt and answer of {sequence.max_total_tokens} tokens need {needed} KV blocks, "
                f"there are {self._allocator.num_blocks}: lower max_tokens or raise kv_cache_memory_mb."
            )
        self.waiting.append(sequence)

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request that has not ended."""
        return next((s for s in (*self.running, *self.waiting) if s.id == request_id), None)

    def remove(self, sequence: Sequence) -> None:
        """It has ended, for whatever reason: free its blocks at once."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self._release(sequence)

    def schedule(self) -> list[ScheduledSequence]:
        """The next step; empty when there is nothing. The caller raises `num_computed` once it has run."""
        step = self._continue_running()
        self._admit_waiting(step)
        return step

    def _continue_running(self) -> list[ScheduledSequence]:
        step: list[ScheduledSequence] = []
        for sequence in tuple(self.running):
            if sequence not in self.running:
                break  # preempted for an earlier one, as are all after it
            count = self._piece(sequence, step)
            if count and self._make_room(sequence, count):
                step.append(self._grant(sequence, count))
        return step

    def _admit_waiting(self, step: list[ScheduledSequence]) -> None:
        while self.waiting and len(self.running) < self._max_running:
            sequence = self.waiting[0]
            count = self._piece(sequence, step)
            # The whole of it must fit now, lest it is preempted before it has produced anything.
            if not count or self._allocator.blocks_for(len(sequence.token_ids)) > self._allocator.num_free:
                return
            self.running.append(self.waiting.popleft())
            step.append(self._grant(sequence, count))

    def _piece(self, sequence: Sequence, step: list[ScheduledSequence]) -> int:
        """How many of its tokens the rest of the step's budget allows."""
        left = self._limits.max_num_batched_tokens - sum(item.count for item in step)
        wanted = sequence.num_uncomputed
        if self._limits.chunked_prefill or wanted <= left:
            return min(wanted, left)
        oversized = wanted > self._limits.max_num_batched_tokens
        return wanted if oversized and all(item.count == 1 for item in step) else 0

    def _make_room(self, sequence: Sequence, count: int) -> bool:
        """Preempt from the end until `count` more tokens fit; False when the sequence itself had to go."""
        while self._missing_blocks(sequence, count) > self._allocator.num_free:
            victim = self.running.pop()
            self._release(victim)
            victim.num_computed = 0
            self.waiting.appendleft(victim)
            if victim is sequence:
                return False
        return True

    def _grant(self, sequence: Sequence, count: int) -> ScheduledSequence:
        sequence.block_table += self._allocator.allocate(self._missing_blocks(sequence, count))
        return ScheduledSequence(sequence=sequence, start=sequence.num_computed, count=count)

    def _missing_blocks(self, sequence: Sequence, count: int) -> int:
        return self._allocator.blocks_for(sequence.num_computed + count) - len(sequence.block_table)

    def _release(self, sequence: Sequence) -> None:
        self._allocator.free(sequence.block_table)
        sequence.block_table.clear()
