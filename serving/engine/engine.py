"""The engine: each step schedules, computes and samples, and reports the result to the requests."""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from serving.config import EngineConfig
from serving.core import (
    Batch,
    EngineStats,
    FinishReason,
    PromptTooLong,
    Request,
    ScheduledSequence,
    Sequence,
    TokenDelta,
    build_batch,
)
from serving.engine.blocks import BlockAllocator
from serving.engine.decoding import Decoding, look_up
from serving.engine.loading import LoadedModel, load_model, num_threads
from serving.engine.parallel.runner import load_parallel
from serving.engine.runner import Runner
from serving.engine.sampler import CONSTRAINT_FAILED, SampledToken, sample
from serving.engine.scheduler import Scheduler

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """A token is wanted for a sequence, from a row of the logits; `drafts` are guesses at it and what follows."""

    sequence: Sequence
    row: int
    drafts: tuple[int, ...] = ()


class LLMEngine:
    """Generates for many requests at once. Not thread-safe: see `serving.engine.thread`."""

    def __init__(self, loaded: LoadedModel, config: EngineConfig) -> None:
        self.model_config = loaded.config
        self.model_facts: Mapping[str, int] = loaded.facts
        self.tokenizer = loaded.tokenizer
        self.max_model_len = loaded.max_model_len
        self.config = config
        self._runner: Runner = loaded.runner
        self._allocator = BlockAllocator(loaded.runner.num_blocks, config.block_size)
        self._scheduler = Scheduler(config, self._allocator)
        self._decodings: dict[Sequence, Decoding] = {}
        self._counts = EngineStats()  # but for what `stats` looks up

    @classmethod
    def load(cls, model: Path, config: EngineConfig) -> "LLMEngine":
        """Read the model from a .gguf file or a directory. `ModelLoadError` says what is wrong with it.

        With tensor parallelism it starts processes, which `close` ends; a process can have one such engine at a time.
        """
        torch.set_num_threads(num_threads(config))
        with torch.inference_mode():
            load = load_parallel if config.tensor_parallel_size > 1 else load_model
            return cls(load(model, config), config)

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """Call it, once and from another thread, when a process that shares the model ends: no step can follow."""
        self._runner.watch(on_loss)

    def close(self) -> None:
        """End what `load` started."""
        self._runner.close()

    @property
    def has_work(self) -> bool:
        return bool(self._scheduler.running or self._scheduler.waiting)

    def stats(self) -> EngineStats:
        return replace(
            self._counts,
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting),
            blocks_free=self._allocator.num_free,
            blocks_total=self._allocator.num_blocks,
            preemptions=self._scheduler.preemptions,
            cached_tokens=self._scheduler.cached_tokens,
        )

    def validated(self, request: Request) -> Sequence:
        """The request as a sequence that can be run; `PromptTooLong` or ValueError. Safe from any thread."""
        prompt, vocab_size = request.prompt_ids, self.model_config.vocab_size
        if not prompt:
            raise ValueError("the prompt is empty; give at least one token.")
        if len(prompt) >= self.max_model_len:
            raise PromptTooLong(
                f"the prompt has {len(prompt)} tokens, and prompt and answer together may have "
                f"{self.max_model_len}; shorten it."
            )
        if min(prompt) < 0 or max(prompt) >= vocab_size:
            raise ValueError(f"the prompt has token ids outside 0 to {vocab_size - 1}.")
        if request.params.max_tokens < 1:
            raise ValueError(f"max_tokens is {request.params.max_tokens}; give at least 1.")
        sequence = Sequence.of(request, self.max_model_len)
        self._scheduler.check(sequence)
        return sequence

    def add(self, request: Request) -> None:
        """Queue a request; raises as `validated` does."""
        self.queue(self.validated(request))

    def queue(self, sequence: Sequence) -> None:
        """Queue what `validated` has returned."""
        self._scheduler.add(sequence)
        self._decodings[sequence] = Decoding(sequence, self.tokenizer)
        self._counts.prompt_tokens += sequence.num_prompt_tokens
        # What the grammar prescribes for the answer's beginning is prefilled with the prompt.
        self._take_forced(sequence)

    def abort(self, request_id: str, error: str | None = None) -> None:
        """End a request now and free its blocks; nothing happens when it has ended already."""
        for sequence in self._scheduler.find(request_id):
            self._end(sequence, "abort", error)

    def abort_all(self, error: str | None = None) -> None:
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            self._end(sequence, "abort", error)

    @torch.inference_mode()
    def step(self) -> None:
        """Compute the next tokens of what runs, and hand them to the requests' `on_delta`."""
        scheduled = self._scheduler.schedule()
        if not scheduled:
            return
        batch = build_batch(scheduled, self.config.block_size)
        logits = self._runner.run(batch)
        self._counts.steps += 1
        for item in scheduled:
            self._scheduler.advance(item.sequence, item.count - len(item.drafts))
            self._counts.drafted_tokens += len(item.drafts)
        self._sample(batch, logits)

    def _sample(self, batch: Batch, logits: torch.Tensor) -> None:
        """One round for the known tokens, and one more for each draft as far as they are confirmed.

        A draft is confirmed by being sampled: what is generated is what would have been generated without it.
        """
        turn = [ask for item, row in _first_rows(batch) for ask in self._asks(item, row)]
        sampled = [ask.sequence for ask in turn]
        while turn:
            rows = [ask.row for ask in turn]
            chosen = logits if rows == list(range(len(logits))) else logits[rows]
            tokens = sample(chosen, [ask.sequence for ask in turn])
            turn = [
                _Ask(sequence=ask.sequence, row=ask.row + 1, drafts=ask.drafts[1:])
                for ask, token in zip(turn, tokens, strict=True)
                if self._take(ask.sequence, token) and self._confirms(ask, token)
            ]
        for sequence in sampled:
            self._go_on(sequence)

    def _asks(self, item: ScheduledSequence, row: int) -> Iterator["_Ask"]:
        """The sequence, and after its prompt the other answers that its request wants, from the same logits."""
        first = item.sequence
        yield _Ask(sequence=first, row=row, drafts=item.drafts)
        if first.forks_pending:
            first.forks_pending = False
            for index in range(1, first.request.params.n):
                answer = first.fork(index)
                self._scheduler.fork(first, answer)
                self._decodings[answer] = self._decodings[first].fork(answer)
                self._counts.generation_tokens += answer.num_completion_tokens
                self._counts.forced_tokens += answer.num_completion_tokens
                yield _Ask(sequence=answer, row=row)

    def _take(self, sequence: Sequence, token: SampledToken) -> bool:
        """Append a sampled token; False when the answer has ended."""
        if sequence not in self._decodings:
            return False  # another answer's receiver has failed in this step, and with it the request
        if token.error is not None:
            self._end(sequence, "abort", token.error)
            return False
        try:
            reason = self._decodings[sequence].take(token.token_id, token.logprob)
        except Exception as error:  # a grammar engine's failure, whatever it is, must not end the other requests
            return self._end_without_grammar(sequence, error)
        self._counts.generation_tokens += 1
        if reason is not None:
            self._end(sequence, reason)
        return reason is None

    def _confirms(self, ask: "_Ask", token: SampledToken) -> bool:
        """Whether the token is the first draft: its keys and values are in the cache, the next row is valid."""
        if not ask.drafts or token.token_id != ask.drafts[0]:
            return False
        self._scheduler.advance(ask.sequence, 1)
        self._counts.accepted_tokens += 1
        return True

    def _go_on(self, sequence: Sequence) -> None:
        """After a step: append forced tokens, report, and guess the next ones."""
        if sequence not in self._decodings:
            return
        if not self._take_forced(sequence):
            return
        self._report(sequence, self._decodings[sequence].delta())
        if self.config.speculative == "ngram":
            room = sequence.max_total_tokens - len(sequence.token_ids) - 1
            sequence.drafts = look_up(sequence.token_ids, min(self.config.num_speculative_tokens, room))

    def _take_forced(self, sequence: Sequence) -> bool:
        """Append what the grammar forces; False when the answer has ended with it."""
        if not self.config.forced_tokens:
            return True
        try:
            count, reason = self._decodings[sequence].take_forced()
        except Exception as error:  # as in _take
            return self._end_without_grammar(sequence, error)
        self._counts.forced_tokens += count
        self._counts.generation_tokens += count
        if reason is not None:
            self._end(sequence, reason)
        return reason is None

    def _end_without_grammar(self, sequence: Sequence, error: Exception) -> bool:
        _LOG.error("request %s is aborted: its grammar failed (%s)", sequence.id, type(error).__name__)
        self._end(sequence, "abort", CONSTRAINT_FAILED)
        return False

    def _end(self, sequence: Sequence, reason: FinishReason, error: str | None = None) -> None:
        """It ends, and with it the other answers of its request when they have not been forked off yet."""
        delta = self._decodings[sequence].delta(reason, error)
        self._forget(sequence)
        for index in range(sequence.request.params.n) if sequence.forks_pending else (sequence.index,):
            self._report(sequence, replace(delta, index=index))

    def _forget(self, sequence: Sequence) -> None:
        self._scheduler.remove(sequence)
        del self._decodings[sequence]

    def _report(self, sequence: Sequence, delta: TokenDelta) -> None:
        try:
            sequence.request.on_delta(delta)
        except Exception as error:  # a receiver's failure must not end the other requests
            _LOG.error("request %s is dropped: its receiver failed: %s", sequence.id, without_values(error))
            for answer in self._scheduler.find(sequence.id):
                self._forget(answer)


def without_values(error: BaseException) -> str:
    """For the log: an error's kind and where it was raised.

    Its words only where they are of the machine (memory, a device, a file): others may quote what a client sent.
    """
    words = f": {error}" if isinstance(error, RuntimeError | MemoryError | OSError) else ""
    return f"{type(error).__name__}{words}\n{''.join(traceback.format_tb(error.__traceback__))}"


def _first_rows(batch: Batch) -> Iterator[tuple[ScheduledSequence, int]]:
    """The sequences that are sampled, each with its first row of the logits."""
    row = 0
    for item in batch.items:
        if item.num_sampled:
            yield item, row
            row += item.num_sampled
