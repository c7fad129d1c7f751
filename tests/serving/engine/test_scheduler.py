"""The scheduler: order, budget, preemption, prefix cache, forks and drafts."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.config import EngineConfig
from serving.core import Request, SamplingParams, ScheduledSequence, Sequence
from serving.engine.blocks import BlockAllocator
from serving.engine.scheduler import CacheTooSmall, Scheduler

MAX_LEN = 40


def make_sequence(name: str, prompt: int, answer: int, shared: int = 0) -> Sequence:
    """A sequence whose prompt shares its first `shared` tokens with all others."""
    own = [1000 * (1 + sum(map(ord, name))) + position for position in range(prompt)]
    request = Request(
        id=name,
        prompt_ids=[*range(min(shared, prompt)), *own[shared:]],
        params=SamplingParams(max_tokens=answer),
        on_delta=lambda delta: None,
    )
    return Sequence.of(request, MAX_LEN)


def make_scheduler(
    blocks: int = 10, seqs: int = 4, tokens: int = 16, chunked: bool = True
) -> tuple[Scheduler, BlockAllocator]:
    allocator = BlockAllocator(blocks, 4)
    config = EngineConfig(max_num_seqs=seqs, max_num_batched_tokens=tokens, chunked_prefill=chunked)
    return Scheduler(config, allocator), allocator


def run(scheduler: Scheduler, step: list[ScheduledSequence], confirmed: int = 0, forced: int = 0) -> list[Sequence]:
    """Process a step as the engine does; returns the sequences that ended.

    The first `confirmed` drafts of each sequence are accepted, and `forced` tokens follow the sampled one.
    """
    ended = []
    for item in step:
        sequence = item.sequence
        scheduler.advance(sequence, item.count - len(item.drafts))
        if not item.num_sampled:
            continue
        for draft in item.drafts[:confirmed]:
            if not sequence.is_full:
                sequence.token_ids.append(draft)
                scheduler.advance(sequence, 1)
        for token in [7] * (1 + forced):
            if not sequence.is_full:
                sequence.token_ids.append(token)
        if sequence.is_full:
            scheduler.remove(sequence)
            ended.append(sequence)
    return ended


class SchedulerMachine(RuleBasedStateMachine):
    """Random operations with few blocks and a small budget: add, step, fork, draft, finish early and abort.

    A simulated cache stores for each slot the tokens up to the one that was written there.
    """

    chunked = True

    def __init__(self) -> None:
        super().__init__()
        self.scheduler, self.allocator = make_scheduler(chunked=self.chunked)
        self.alive: list[Sequence] = []
        self.count = 0
        self.cache: dict[tuple[int, int], tuple[int, ...]] = {}  # (block, slot) to the tokens up to it

    @rule(prompt=st.integers(1, 39), answer=st.integers(1, 40), shared=st.integers(0, 30))
    def add(self, prompt: int, answer: int, shared: int) -> None:
        self.count += 1
        sequence = make_sequence(str(self.count), prompt, answer, shared)
        self.scheduler.add(sequence)
        self.alive.append(sequence)

    @rule(confirmed=st.integers(0, 3), forced=st.integers(0, 5), drafts=st.integers(0, 3))
    def step(self, confirmed: int = 0, forced: int = 0, drafts: int = 0) -> None:
        for sequence in self.alive:
            sequence.drafts = tuple(range(500, 500 + drafts))
        step = self.scheduler.schedule()
        assert bool(step) == bool(self.alive), "a step is empty exactly if there is no sequence"
        self.check(step)
        self.compute(step)
        for sequence in run(self.scheduler, step, confirmed, forced):
            self.alive.remove(sequence)

    @precondition(lambda self: self.scheduler.running)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        """Fork a running sequence, as after its prompt; the first generated tokens differ."""
        ready = [s for s in self.scheduler.running if s.num_uncomputed == 1 and s.num_computed]
        if not ready:
            return
        parent = data.draw(st.sampled_from(ready))
        child = parent.fork(1)
        child.token_ids[-1] = 10_000 + len(self.alive)
        del child.block_keys[len(child.token_ids) // 4 - (len(child.token_ids) % 4 == 0) :]
        self.scheduler.fork(parent, child)
        self.alive.append(child)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(self.alive))
        self.alive.remove(sequence)
        assert sequence in self.scheduler.find(sequence.id)
        self.scheduler.remove(sequence)
        assert sequence.block_table == []
        assert sequence not in self.scheduler.find(sequence.id)

    @rule()
    def reset_prefix_cache(self) -> None:
        self.scheduler.reset_prefix_cache()
        assert not any(self.scheduler._cached_prefix(sequence) for sequence in self.alive)

    def check(self, step: list[ScheduledSequence]) -> None:
        total = sum(item.count for item in step)
        oversized = not self.chunked and any(item.count > 16 for item in step)
        assert total <= 16 or oversized
        assert sum(item.count > 16 for item in step) <= 1
        assert len(step) <= 4
        decoding = {item.sequence for item in step}
        waiting_decodes = [s for s in self.scheduler.running if s.num_uncomputed == 1 and s not in decoding]
        assert not waiting_decodes or oversized, "prefill must not delay a decode"
        for item in step:
            assert item.start == item.sequence.num_computed
            assert len(item.sequence.block_table) * 4 >= item.start + item.count

    def compute(self, step: list[ScheduledSequence]) -> None:
        """Write the step's tokens to the cache. Assert that each token finds the tokens before it there."""
        for source, target in (copy for item in step for copy in item.copies):
            self.cache |= {
                (target, slot): self.cache[source, slot] for slot in range(4) if (source, slot) in self.cache
            }
        written: dict[tuple[int, int], tuple[int, ...]] = {}
        for item in step:
            for place, past in self.places(item, item.start):
                assert place not in written, "two tokens are written to one slot"
                assert not self.allocator.is_shared(place[0])
                written[place] = past
        self.cache |= written
        for item in step:
            for place, past in self.places(item, 0):
                assert self.cache[place] == past, "a block of another prefix is read"

    def places(self, item: ScheduledSequence, first: int) -> Iterator[tuple[tuple[int, int], tuple[int, ...]]]:
        """The (block, slot) of each token from position `first`, with the tokens up to it."""
        tokens = (*item.sequence.token_ids[: item.start], *item.tokens)
        for position in range(first, item.start + item.count):
            yield (item.sequence.block_table[position // 4], position % 4), tokens[: position + 1]

    @invariant()
    def every_block_is_used_or_free(self) -> None:
        held = {block for sequence in self.alive for block in sequence.block_table}
        assert len(held) + self.allocator.num_free == self.allocator.num_blocks
        assert not any(map(self.allocator.is_free, held))

    @invariant()
    def no_sequence_has_a_block_twice(self) -> None:
        for sequence in self.alive:
            assert len(sequence.block_table) == len(set(sequence.block_table))

    @invariant()
    def every_sequence_is_running_or_waiting(self) -> None:
        scheduled = [*self.scheduler.running, *self.scheduler.waiting]
        assert sorted(map(id, scheduled)) == sorted(map(id, self.alive))

    def teardown(self) -> None:
        """All remaining sequences end, and then every block is free."""
        for _ in range(2000):
            if not self.alive:
                break
            self.step()
        assert not self.alive
        assert self.allocator.num_free == self.allocator.num_blocks


class WholePromptMachine(SchedulerMachine):
    chunked = False


TestChunked = SchedulerMachine.TestCase
TestChunked.settings = settings(stateful_step_count=40, deadline=None)
TestWholePrompt = WholePromptMachine.TestCase
TestWholePrompt.settings = settings(stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.integers(1, 39), st.integers(1, 40)), min_size=1, max_size=12))
@settings(deadline=None, max_examples=50)
def test_first_tokens_come_in_order_of_arrival(shapes: list[tuple[int, int]]) -> None:
    scheduler, _ = make_scheduler(blocks=1000, seqs=3)
    sequences = [make_sequence(str(i), *shape) for i, shape in enumerate(shapes)]
    for sequence in sequences:
        scheduler.add(sequence)
    started: list[str] = []
    while scheduler.running or scheduler.waiting:
        step = scheduler.schedule()
        started += [item.sequence.id for item in step if item.sequence.id not in started]
        run(scheduler, step)
    assert started == [sequence.id for sequence in sequences]


def test_prefill_shares_a_step_with_decode() -> None:
    scheduler, _ = make_scheduler()
    first, second = make_sequence("a", 5, 5), make_sequence("b", 9, 5)
    scheduler.add(first)
    run(scheduler, scheduler.schedule())
    scheduler.add(second)
    assert [(item.sequence.id, item.count) for item in scheduler.schedule()] == [("a", 1), ("b", 9)]


def test_a_long_prompt_is_prefilled_in_chunks() -> None:
    scheduler, _ = make_scheduler()
    scheduler.add(make_sequence("a", 35, 2))
    pieces = []
    for _ in range(3):
        step = scheduler.schedule()
        pieces += [(item.start, item.count, bool(item.num_sampled)) for item in step]
        run(scheduler, step)
    assert pieces == [(0, 16, False), (16, 16, False), (32, 3, True)]


def test_without_chunking_a_long_prompt_runs_in_one_step() -> None:
    scheduler, _ = make_scheduler(chunked=False)
    scheduler.add(make_sequence("a", 35, 2))
    assert [(item.start, item.count) for item in scheduler.schedule()] == [(0, 35)]


def test_the_last_admitted_is_preempted_and_is_first_in_line() -> None:
    scheduler, allocator = make_scheduler(blocks=10)
    older, younger = make_sequence("old", 8, 30), make_sequence("young", 8, 30)
    scheduler.add(older)
    scheduler.add(younger)
    while scheduler.running != [older] or not scheduler.waiting:
        run(scheduler, scheduler.schedule())
    scheduler.add(make_sequence("late", 8, 30))
    assert [s.id for s in scheduler.waiting] == ["young", "late"]
    assert younger.num_computed == 0
    assert younger.block_table == []
    assert len(younger.token_ids) > 8, "it keeps its generated tokens"
    assert allocator.num_free + len(older.block_table) == 10


def test_a_request_that_never_fits_is_refused() -> None:
    scheduler, _ = make_scheduler(blocks=4)
    with pytest.raises(CacheTooSmall, match="20 tokens need 5 KV blocks, there are 4"):
        scheduler.check(make_sequence("a", 10, 10))
    scheduler.check(make_sequence("b", 10, 6))


def test_max_tokens_is_clipped_to_the_context() -> None:
    assert make_sequence("a", 30, 1000).max_total_tokens == MAX_LEN


def test_a_shared_prefix_is_computed_once() -> None:
    scheduler, allocator = make_scheduler()
    first, second = make_sequence("a", 14, 5, shared=10), make_sequence("b", 14, 5, shared=10)
    scheduler.add(first)
    run(scheduler, scheduler.schedule())
    scheduler.add(second)
    step = {item.sequence.id: item for item in scheduler.schedule()}
    assert (step["b"].start, step["b"].count) == (8, 6), "two blocks of four are shared"
    assert second.cached_tokens == 8
    assert second.block_table[:2] == first.block_table[:2]
    assert all(map(allocator.is_shared, first.block_table[:2]))


def test_the_last_token_of_a_cached_prompt_is_computed_again() -> None:
    scheduler, _ = make_scheduler()
    for name in ("a", "b"):
        sequence = make_sequence(name, 8, 1, shared=8)
        scheduler.add(sequence)
        run(scheduler, scheduler.schedule())
    assert sequence.cached_tokens == 4


def test_a_prefix_survives_its_sequence_until_the_block_is_needed() -> None:
    scheduler, allocator = make_scheduler(blocks=3)
    for name, cached in (("a", 0), ("b", 4)):
        sequence = make_sequence(name, 6, 1, shared=5)
        scheduler.add(sequence)
        run(scheduler, scheduler.schedule())
        assert sequence.cached_tokens == cached
    allocator.free(allocator.allocate(3))
    scheduler.add(again := make_sequence("c", 6, 1, shared=5))
    scheduler.schedule()
    assert again.cached_tokens == 0


def test_a_fork_copies_the_block_that_it_writes() -> None:
    scheduler, _ = make_scheduler()
    parent = make_sequence("a", 6, 5)
    scheduler.add(parent)
    run(scheduler, scheduler.schedule())
    scheduler.fork(parent, child := parent.fork(1))
    before = list(parent.block_table)
    assert child.block_table == before
    copies = {item.sequence.index: item.copies for item in scheduler.schedule()}
    assert copies[0] == ((before[1], parent.block_table[1]),)
    assert copies[1] == (), "it has the only reference by then"
    assert parent.block_table[0] == child.block_table[0]
    assert parent.block_table[1] != child.block_table[1]


def test_a_fork_does_not_share_the_parents_blocks_for_drafts() -> None:
    scheduler, allocator = make_scheduler()
    scheduler.add(parent := make_sequence("a", 7, 9))
    run(scheduler, scheduler.schedule())
    parent.drafts = (500, 501, 502)
    run(scheduler, scheduler.schedule(), confirmed=0)
    assert (parent.num_computed, len(parent.block_table)) == (8, 3), "the third block is still empty"
    scheduler.fork(parent, child := parent.fork(1))
    assert child.block_table == parent.block_table[:2]
    assert not allocator.is_shared(parent.block_table[2])
