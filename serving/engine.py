"""The engine: each step schedules, computes, samples, and reports what came of it."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from serving.attention import KVCache, block_bytes
from serving.batch import CacheLayout, build_batch
from serving.blocks import BlockAllocator
from serving.config import EngineConfig
from serving.detokenizer import Detokenizer
from serving.linear import Precision, choose_precision
from serving.loader import load_checkpoint
from serving.models.config import ModelConfig
from serving.models.registry import Model, build_model
from serving.request import FinishReason, Request, TokenDelta
from serving.sampler import constrain, sample
from serving.scheduler import ScheduledSequence, Scheduler, SchedulerLimits
from serving.sequence import Sequence
from serving.tokenizer import Tokenizer
from serving.weights import ModelLoadError

_LOG = logging.getLogger(__name__)


class PromptTooLong(ValueError):
    """The prompt leaves no room for an answer."""


class EngineOverloaded(RuntimeError):
    """Too many requests wait already; try again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Sequences by state, and KV blocks."""

    running: int
    waiting: int
    blocks_free: int
    blocks_total: int


class LLMEngine:
    """Generates for many requests at once. Not thread-safe: see `serving.engine_thread`."""

    def __init__(
        self,
        model: Model,
        model_config: ModelConfig,
        tokenizer: Tokenizer,
        config: EngineConfig,
        precision: Precision,
    ) -> None:
        self.model_config = model_config
        self.tokenizer = tokenizer
        self.config = config
        self._model = model
        self._cache = _make_cache(model_config, config, precision)
        self.max_model_len = _max_model_len(model_config, config, self._cache)
        self._allocator = BlockAllocator(self._cache.num_blocks, config.block_size)
        self._scheduler = Scheduler(_limits(config), self._allocator)
        self._detokenizers: dict[str, Detokenizer] = {}

    @classmethod
    def load(cls, model: Path, config: EngineConfig) -> "LLMEngine":
        """Read the model from a .gguf file or a directory. `ModelLoadError` says what is wrong with it."""
        torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
        checkpoint = load_checkpoint(model)
        precision = choose_precision(config.dtype, config.device)
        with torch.inference_mode():
            built = build_model(checkpoint.config, checkpoint.weights, precision)
            return cls(built, checkpoint.config, checkpoint.tokenizer, config, precision)

    @property
    def has_work(self) -> bool:
        return bool(self._scheduler.running or self._scheduler.waiting)

    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting),
            blocks_free=self._allocator.num_free,
            blocks_total=self._allocator.num_blocks,
        )

    def validate(self, request: Request) -> None:
        """`PromptTooLong`, or ValueError for a request that cannot be run. Safe from any thread."""
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

    def add(self, request: Request) -> None:
        """Queue a request; raises as `validate` does."""
        self.validate(request)
        self._scheduler.add(Sequence.of(request, self.max_model_len))
        self._detokenizers[request.id] = Detokenizer(self.tokenizer, request.params.stop)

    def abort(self, request_id: str, error: str | None = None) -> None:
        """End a request now and free its blocks; nothing happens when it has ended already."""
        sequence = self._scheduler.find(request_id)
        if sequence is not None:
            self._end(sequence, (), "", "abort", error)

    def abort_all(self, error: str | None = None) -> None:
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            self._end(sequence, (), "", "abort", error)

    @torch.inference_mode()
    def step(self) -> None:
        """Compute the next tokens of what runs, and hand them to the requests' `on_delta`."""
        scheduled = self._scheduler.schedule()
        if not scheduled:
            return
        sampled, logits = self._forward(scheduled)
        errors = constrain(logits, sampled)
        tokens = sample(logits, sampled)
        for sequence, token in zip(sampled, tokens, strict=True):
            if sequence.id in errors:
                self.abort(sequence.id, errors[sequence.id])
            else:
                self._append(sequence, token)

    def _forward(self, scheduled: list[ScheduledSequence]) -> tuple[list[Sequence], torch.Tensor]:
        """The sequences that get a token in this step, and their logits [sequences, vocab]."""
        batch = build_batch(scheduled, self._cache.layout)
        hidden = self._model.hidden(batch, self._cache)
        for item in scheduled:
            item.sequence.num_computed += item.count
        logits = self._model.logits(hidden.index_select(0, batch.sampled_rows))
        return [item.sequence for item in batch.sampled], logits

    def _append(self, sequence: Sequence, token: int) -> None:
        """Take a sampled token over and report it, with the end if it is one."""
        sequence.token_ids.append(token)
        try:
            reason = self._finish_reason(sequence, token)
        except Exception as error:  # a grammar engine's failure must not end the other requests
            self._end(sequence, (token,), "", "abort", f"the output constraint failed: {error}")
            return
        detokenizer = self._detokenizers[sequence.id]
        text = "" if reason == "stop" and token in self.tokenizer.eos_ids else detokenizer.push(token)
        if detokenizer.stopped:
            reason = "stop"
        if reason is None:
            self._report(sequence, (token,), text)
        else:
            self._end(sequence, (token,), text, reason)

    def _finish_reason(self, sequence: Sequence, token: int) -> FinishReason | None:
        constraint, params = sequence.request.constraint, sequence.request.params
        if token in self.tokenizer.eos_ids and (constraint is not None or not params.ignore_eos):
            return "stop"
        if constraint is not None:
            constraint.accept(token)
            if constraint.finished:
                return "stop"
        return "length" if sequence.is_full else None

    def _end(
        self,
        sequence: Sequence,
        token_ids: tuple[int, ...],
        text: str,
        reason: FinishReason,
        error: str | None = None,
    ) -> None:
        text += self._forget(sequence).flush()
        self._report(sequence, token_ids, text, reason, error)

    def _forget(self, sequence: Sequence) -> Detokenizer:
        self._scheduler.remove(sequence)
        return self._detokenizers.pop(sequence.id)

    def _report(
        self,
        sequence: Sequence,
        token_ids: tuple[int, ...],
        text: str,
        reason: FinishReason | None = None,
        error: str | None = None,
    ) -> None:
        delta = TokenDelta(
            text=text,
            token_ids=token_ids,
            prompt_tokens=sequence.num_prompt_tokens,
            cached_tokens=0,
            completion_tokens=sequence.num_completion_tokens,
            finish_reason=reason,
            error=error,
        )
        try:
            sequence.request.on_delta(delta)
        except Exception:  # a receiver's failure must not end the other requests
            _LOG.exception("request %s is dropped: its receiver failed", sequence.id)
            if reason is None:
                self._forget(sequence)


def _limits(config: EngineConfig) -> SchedulerLimits:
    return SchedulerLimits(
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        chunked_prefill=config.chunked_prefill,
    )


def _make_cache(model: ModelConfig, config: EngineConfig, precision: Precision) -> KVCache:
    layout = CacheLayout(
        block_size=config.block_size,
        num_kv_heads=model.num_kv_heads,
        dtype=precision.activations,
        device=precision.device,
    )
    size = block_bytes(model, layout)
    num_blocks = config.kv_cache_memory_mb * 2**20 // size
    if num_blocks < 1:
        raise ModelLoadError(
            f"kv_cache_memory_mb {config.kv_cache_memory_mb} holds no KV block of {size} bytes; raise it."
        )
    return KVCache(layout, num_blocks, model.num_layers, model.head_dim)


def _max_model_len(model: ModelConfig, config: EngineConfig, cache: KVCache) -> int:
    """The configured length if it can be had; else as much of the model's context as the cache holds."""
    capacity = cache.num_blocks * config.block_size
    wanted = config.max_model_len
    if wanted is None:
        return min(model.max_position, capacity)
    if wanted > model.max_position:
        raise ModelLoadError(
            f"max_model_len {wanted} is more than the model's context of {model.max_position}; lower it."
        )
    if wanted > capacity:
        raise ModelLoadError(
            f"max_model_len {wanted} is more than the {capacity} tokens of the KV cache; "
            "lower it or raise kv_cache_memory_mb."
        )
    return wanted
