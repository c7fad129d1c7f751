import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.blocks import BlockAllocator
from serving.request import Request, SamplingParams
from serving.scheduler import NeverFits, ScheduledSequence, Scheduler, SchedulerLimits
from serving.sequence import Sequence

MAX_LEN = 40


def make_sequence(name: str, prompt: int, answer: int) -> Sequence:
    request = Request(
        id=name,
        prompt_ids=list(range(prompt)),
        params=SamplingParams(max_tokens=answer),
        on_delta=lambda delta: None,
    )
    return Sequence.of(request, MAX_LEN)


def make_scheduler(
    blocks: int = 10, seqs: int = 4, tokens: int = 16, chunked: bool = True
) -> tuple[Scheduler, BlockAllocator]:
    allocator = BlockAllocator(blocks, 4)
    limits = SchedulerLimits(max_num_seqs=seqs, max_num_batched_tokens=tokens, chunked_prefill=chunked)
    return Scheduler(limits, allocator), allocator


def run(scheduler: Scheduler, step: list[ScheduledSequence]) -> list[Sequence]:
    """What an engine does with a step; returns the sequences that ended."""
    ended = []
    for item in step:
        item.sequence.num_computed += item.count
        if item.sequence.num_uncomputed == 0:
            item.sequence.token_ids.append(7)
            if item.sequence.is_full:
                scheduler.remove(item.sequence)
                ended.append(item.sequence)
    return ended


class SchedulerMachine(RuleBasedStateMachine):
    """Random adding, stepping, finishing early and aborting, with few blocks and a small budget."""

    chunked = True

    def __init__(self) -> None:
        super().__init__()
        self.scheduler, self.allocator = make_scheduler(chunked=self.chunked)
        self.alive: list[Sequence] = []
        self.count = 0

    @rule(prompt=st.integers(1, 39), answer=st.integers(1, 40))
    def add(self, prompt: int, answer: int) -> None:
        self.count += 1
        sequence = make_sequence(str(self.count), prompt, answer)
        self.scheduler.add(sequence)
        self.alive.append(sequence)

    @rule()
    def step(self) -> None:
        step = self.scheduler.schedule()
        assert bool(step) == bool(self.alive), "a step with work to do must do some"
        self.check(step)
        for sequence in run(self.scheduler, step):
            self.alive.remove(sequence)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(self.alive))
        self.alive.remove(sequence)
        assert self.scheduler.find(sequence.id) is sequence
        self.scheduler.remove(sequence)
        assert sequence.block_table == []
        assert self.scheduler.find(sequence.id) is None

    def check(self, step: list[ScheduledSequence]) -> None:
        total = sum(item.count for item in step)
        oversized = not self.chunked and any(item.count > 16 for item in step)
        assert total <= 16 or oversized
        assert sum(item.count > 16 for item in step) <= 1
        assert len(step) <= 4
        for item in step:
            assert item.start == item.sequence.num_computed
            assert len(item.sequence.block_table) * 4 >= item.start + item.count

    @invariant()
    def every_block_has_one_holder(self) -> None:
        held = [block for sequence in self.alive for block in sequence.block_table]
        assert len(held) == len(set(held))
        assert len(held) + self.allocator.num_free == self.allocator.num_blocks

    @invariant()
    def every_sequence_is_known(self) -> None:
        known = [*self.scheduler.running, *self.scheduler.waiting]
        assert sorted(s.id for s in known) == sorted(s.id for s in self.alive)

    def teardown(self) -> None:
        """Whatever happened, everything left ends, and every block is free then."""
        for _ in range(2000):
            if not self.alive:
                break
            self.step()
        assert not self.alive
        assert self.allocator.num_free == self.allocator.num_blocks


class WholePromptMachine(SchedulerMachine):
    chunked = False


TestChunked = SchedulerMachine.TestCase
TestChunked.settings = settings(max_examples=60, deadline=None)
TestWholePrompt = WholePromptMachine.TestCase
TestWholePrompt.settings = settings(max_examples=60, deadline=None)


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


def test_a_long_prompt_is_prefilled_in_pieces() -> None:
    scheduler, _ = make_scheduler()
    scheduler.add(make_sequence("a", 35, 2))
    pieces = []
    for _ in range(3):
        step = scheduler.schedule()
        pieces += [(item.start, item.count, item.samples) for item in step]
        run(scheduler, step)
    assert pieces == [(0, 16, False), (16, 16, False), (32, 3, True)]


def test_without_chunking_a_long_prompt_runs_whole() -> None:
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
    assert len(younger.token_ids) > 8, "what was generated is kept"
    assert allocator.num_free + len(older.block_table) == 10


def test_a_request_that_never_fits_is_refused() -> None:
    scheduler, _ = make_scheduler(blocks=4)
    with pytest.raises(NeverFits, match="20 tokens need 5 KV blocks, there are 4"):
        scheduler.add(make_sequence("a", 10, 10))
    scheduler.add(make_sequence("b", 10, 6))


def test_max_tokens_is_clipped_to_the_context() -> None:
    assert make_sequence("a", 30, 1000).max_total_tokens == MAX_LEN
