"""The engine: each step schedules sequences, computes a batch, samples tokens, and sends deltas to the requests."""

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
from serving.engine.decoding import AnswerDecoder, propose_drafts
from serving.engine.loading import LoadedModel, load_model, threads_per_process
from serving.engine.parallel.runner import load_parallel
from serving.engine.runner import Runner
from serving.engine.sampler import CONSTRAINT_FAILED, SampledToken, sample
from serving.engine.scheduler import Scheduler

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SamplingRow:
    """A row of the logits from which a sequence's next token is sampled.

    `drafts` are the proposals for that token and the tokens after it.
    """

    sequence: Sequence
    index: int
    drafts: tuple[int, ...] = ()


class LLMEngine:
    """Generates answers for many requests at once. Not thread-safe; see `serving.engine.thread`."""

    def __init__(self, loaded: LoadedModel, config: EngineConfig) -> None:
        self.model_config = loaded.config
        self.model_facts: Mapping[str, int] = loaded.facts
        self.tokenizer = loaded.tokenizer
        self.max_model_len = loaded.max_model_len
        self.config = config
        self._runner: Runner = loaded.runner
        self._allocator = BlockAllocator(loaded.runner.num_blocks, config.block_size)
        self._scheduler = Scheduler(config, self._allocator)
        self._decoders: dict[Sequence, AnswerDecoder] = {}
        self._counts = EngineStats()  # `stats` adds the counts of the scheduler and the allocator

    @classmethod
    def load(cls, model: Path, config: EngineConfig) -> "LLMEngine":
        """Load the model from a .gguf file or a directory. Raises `ModelLoadError`.

        With tensor parallelism this starts worker processes, which `close` ends. A process can have only one such
        engine at a time.
        """
        torch.set_num_threads(threads_per_process(config))
        with torch.inference_mode():
            load = load_parallel if config.tensor_parallel_size > 1 else load_model
            return cls(load(model, config), config)

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """Call `on_loss` with the reason, once and from another thread, if a worker process ends unexpectedly.

        No further step is possible then.
        """
        self._runner.watch(on_loss)

    def close(self) -> None:
        """End the worker processes that `load` started."""
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

    def validate(self, request: Request) -> Sequence:
        """The sequence of a request that can run. Raises `PromptTooLong` or ValueError. Thread-safe."""
        prompt, vocab_size = request.prompt_ids, self.model_config.vocab_size
        if not prompt:
            raise ValueError("the prompt is empty; give at least one token.")
        if len(prompt) >= self.max_model_len:
            raise PromptTooLong(
                f"the prompt has {len(prompt)} tokens; prompt and answer together may have at most "
                f"{self.max_model_len}. Shorten the prompt."
            )
        if min(prompt) < 0 or max(prompt) >= vocab_size:
            raise ValueError(f"the prompt has token ids outside 0 to {vocab_size - 1}.")
        if request.params.max_tokens < 1:
            raise ValueError(f"max_tokens is {request.params.max_tokens}; give at least 1.")
        sequence = Sequence.of(request, self.max_model_len)
        self._scheduler.check(sequence)
        return sequence

    def add(self, request: Request) -> None:
        """Validate and queue a request. Raises as `validate` does."""
        self.queue(self.validate(request))

    def queue(self, sequence: Sequence) -> None:
        """Queue a sequence that `validate` returned."""
        self._scheduler.add(sequence)
        self._decoders[sequence] = AnswerDecoder(sequence, self.tokenizer)
        self._counts.prompt_tokens += sequence.num_prompt_tokens
        # Tokens that the grammar forces at the beginning of the answer are prefilled together with the prompt.
        self._append_forced(sequence)

    def reset_prefix_cache(self) -> None:
        """No later request finds a prompt that was computed before."""
        self._scheduler.reset_prefix_cache()

    def abort(self, request_id: str, error: str | None = None) -> None:
        """End a request now and free its blocks. No effect if it has already ended."""
        for sequence in self._scheduler.find(request_id):
            self._finish(sequence, "abort", error)

    def abort_all(self, error: str | None = None) -> None:
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            self._finish(sequence, "abort", error)

    @torch.inference_mode()
    def step(self) -> None:
        """Compute one batch, sample its next tokens, and send the deltas to the requests' `on_delta`."""
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
        """Sample each sequence's next token, then the tokens after its accepted drafts.

        A draft is accepted if sampling chooses the same token, so drafts never change an answer.
        """
        pending = [row for item, first in _first_rows(batch) for row in self._sampling_rows(item, first)]
        sampled = [row.sequence for row in pending]
        while pending:
            indices = [row.index for row in pending]
            chosen = logits if indices == list(range(len(logits))) else logits[indices]
            tokens = sample(chosen, [row.sequence for row in pending])
            pending = [
                _SamplingRow(sequence=row.sequence, index=row.index + 1, drafts=row.drafts[1:])
                for row, token in zip(pending, tokens, strict=True)
                if self._append(row.sequence, token) and self._accept_draft(row, token)
            ]
        for sequence in sampled:
            self._finish_step(sequence)

    def _sampling_rows(self, item: ScheduledSequence, index: int) -> Iterator["_SamplingRow"]:
        """The row of the sequence. After its prompt, the request's other answers are forked and use the same row."""
        first = item.sequence
        yield _SamplingRow(sequence=first, index=index, drafts=item.drafts)
        if first.forks_pending:
            first.forks_pending = False
            for answer_index in range(1, first.request.params.n):
                answer = first.fork(answer_index)
                self._scheduler.fork(first, answer)
                self._decoders[answer] = self._decoders[first].fork(answer)
                self._counts.generation_tokens += answer.num_completion_tokens
                self._counts.forced_tokens += answer.num_completion_tokens
                yield _SamplingRow(sequence=answer, index=index)

    def _append(self, sequence: Sequence, token: SampledToken) -> bool:
        """Append a sampled token. Returns False if the answer has ended."""
        if sequence not in self._decoders:
            return False  # on_delta failed for another answer of the request in this step, which ended the request
        if token.error is not None:
            self._finish(sequence, "abort", token.error)
            return False
        try:
            reason = self._decoders[sequence].append(token.token_id, token.logprob)
        except Exception as error:  # no failure of a grammar may end the other requests
            return self._abort_for_grammar(sequence, error)
        self._counts.generation_tokens += 1
        if reason is not None:
            self._finish(sequence, reason)
        return reason is None

    def _accept_draft(self, row: "_SamplingRow", token: SampledToken) -> bool:
        """Accept the row's first draft if it equals the token.

        Its keys and values are then in the cache, and the next row of the logits is valid.
        """
        if not row.drafts or token.token_id != row.drafts[0]:
            return False
        self._scheduler.advance(row.sequence, 1)
        self._counts.accepted_tokens += 1
        return True

    def _finish_step(self, sequence: Sequence) -> None:
        """Append forced tokens, send the delta, and propose drafts for the next step."""
        if sequence not in self._decoders:
            return
        if not self._append_forced(sequence):
            return
        self._send(sequence, self._decoders[sequence].delta())
        if self.config.speculative == "ngram":
            room = sequence.max_total_tokens - len(sequence.token_ids) - 1
            sequence.drafts = propose_drafts(sequence.token_ids, min(self.config.num_speculative_tokens, room))

    def _append_forced(self, sequence: Sequence) -> bool:
        """Append the tokens that the grammar forces. Returns False if the answer has ended."""
        if not self.config.forced_tokens:
            return True
        try:
            count, reason = self._decoders[sequence].append_forced()
        except Exception as error:  # as in _append
            return self._abort_for_grammar(sequence, error)
        self._counts.forced_tokens += count
        self._counts.generation_tokens += count
        if reason is not None:
            self._finish(sequence, reason)
        return reason is None

    def _abort_for_grammar(self, sequence: Sequence, error: Exception) -> bool:
        _LOG.error("request %s is aborted: its grammar failed (%s)", sequence.id, type(error).__name__)
        self._finish(sequence, "abort", CONSTRAINT_FAILED)
        return False

    def _finish(self, sequence: Sequence, reason: FinishReason, error: str | None = None) -> None:
        """End an answer, free its blocks and send its last delta. Answers that are not forked yet end too."""
        delta = self._decoders[sequence].delta(reason, error)
        self._remove(sequence)
        for index in range(sequence.request.params.n) if sequence.forks_pending else (sequence.index,):
            self._send(sequence, replace(delta, index=index))

    def _remove(self, sequence: Sequence) -> None:
        self._scheduler.remove(sequence)
        del self._decoders[sequence]

    def _send(self, sequence: Sequence, delta: TokenDelta) -> None:
        """Call the request's `on_delta`. If it raises, all answers of the request are removed."""
        try:
            sequence.request.on_delta(delta)
        except Exception as error:  # a failing on_delta must not end the other requests
            _LOG.error("request %s is removed: its on_delta failed: %s", sequence.id, redact(error))
            for answer in self._scheduler.find(sequence.id):
                self._remove(answer)


def redact(error: BaseException) -> str:
    """An error's type and traceback for the log.

    The message is included only for errors of the machine (memory, device, file). Other messages may quote data of a
    client.
    """
    message = f": {error}" if isinstance(error, RuntimeError | MemoryError | OSError) else ""
    return f"{type(error).__name__}{message}\n{''.join(traceback.format_tb(error.__traceback__))}"


def _first_rows(batch: Batch) -> Iterator[tuple[ScheduledSequence, int]]:
    """The sampled sequences, each with the index of its first row in the logits."""
    row = 0
    for item in batch.items:
        if item.num_sampled:
            yield item, row
            row += item.num_sampled
