"""The engine and its thread, with a tiny random model."""

import random
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from serving.config import LOSSLESS_KNOBS, EngineConfig, lossless_knobs
from serving.core import (
    Constraint,
    EngineOverloaded,
    ModelLoadError,
    PromptTooLong,
    Request,
    SamplingParams,
    ScheduledSequence,
    TokenDelta,
)
from serving.engine.engine import LLMEngine
from serving.engine.sampler import CONSTRAINT_FAILED
from serving.engine.thread import ENGINE_FAILED, EngineThread
from serving.model.kernels.library import kernels
from serving.model.precision import choose_precision
from tests.serving.checkpoint.gguf_models import write_gguf_model

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
SMALL = {"dtype": "float32", "block_size": 4, "threads": 1}


@dataclass
class Result:
    """All deltas of a request."""

    deltas: list[TokenDelta] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def token_ids(self) -> list[int]:
        return [token for delta in self.deltas for token in delta.token_ids]

    @property
    def last(self) -> TokenDelta:
        return self.deltas[-1]


def load(path: Path, **knobs: Any) -> LLMEngine:
    return LLMEngine.load(path, EngineConfig(**{**SMALL, **knobs}))


def add(
    engine: LLMEngine,
    prompt: list[int],
    params: SamplingParams = GREEDY,
    name: str = "a",
    constraint: Constraint | None = None,
) -> Result:
    result = Result()
    engine.add(
        Request(
            id=name,
            prompt_ids=prompt,
            params=params,
            on_delta=result.deltas.append,
            constraint=constraint,
        )
    )
    return result


def finish(engine: LLMEngine) -> None:
    while engine.has_work:
        engine.step()
    assert engine.stats().blocks_free == engine.stats().blocks_total


def prompts(count: int, longest: int, vocab: int) -> list[list[int]]:
    rng = random.Random(5)
    return [[rng.randrange(vocab) for _ in range(rng.randrange(1, longest))] for _ in range(count)]


def alone(engine: LLMEngine, prompt: list[int], params: SamplingParams = GREEDY) -> Result:
    result = add(engine, prompt, params)
    finish(engine)
    return result


@pytest.fixture
def engine(tiny_model: Path) -> LLMEngine:
    return load(tiny_model)


def test_a_request_gets_the_same_answer_alone_and_among_32(engine: LLMEngine) -> None:
    many = prompts(32, 60, 256)
    expected = [alone(engine, prompt).token_ids for prompt in many]
    results = [add(engine, prompt, name=str(i)) for i, prompt in enumerate(many)]
    finish(engine)
    assert [result.token_ids for result in results] == expected


@pytest.mark.parametrize("chunked", [True, False])
def test_chunking_and_preemption_do_not_change_the_answer(
    tiny_model: Path, engine: LLMEngine, chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = prompts(12, 60, 256)
    expected = [alone(engine, prompt).token_ids for prompt in many]
    # Larger blocks: the smallest configurable cache would hold more than this model needs.
    monkeypatch.setattr("serving.engine.loading.block_bytes", lambda *args: 2**20 // 40)
    tight = load(tiny_model, kv_cache_memory_mb=1, max_num_batched_tokens=16, chunked_prefill=chunked)
    results = [add(tight, prompt, name=str(i)) for i, prompt in enumerate(many)]
    finish(tight)
    assert tight.max_model_len == 160
    assert [result.token_ids for result in results] == expected


def test_the_answer_ends_at_max_tokens(engine: LLMEngine) -> None:
    result = add(engine, [1, 2, 3])
    finish(engine)
    assert result.last.finish_reason == "length"
    assert [delta.completion_tokens for delta in result.deltas] == list(range(1, 25))
    assert result.last.prompt_tokens == 3
    assert result.text == engine.tokenizer.decode(result.token_ids)


def test_max_tokens_is_clipped_to_max_model_len(tiny_model: Path) -> None:
    engine = load(tiny_model, max_model_len=20)
    result = add(engine, [1] * 15, SamplingParams(temperature=0, max_tokens=1000, ignore_eos=True))
    finish(engine)
    assert len(result.token_ids) == 5
    assert result.last.finish_reason == "length"


def test_the_answer_ends_before_a_stop_string(engine: LLMEngine) -> None:
    free = alone(engine, [1, 2, 3])
    stop = free.text[6:8]
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, stop=(stop,))
    result = alone(engine, [1, 2, 3], params)
    assert result.text == free.text[: free.text.index(stop)]
    assert result.last.finish_reason == "stop"


def test_a_seed_reproduces_the_answer_in_any_batch(engine: LLMEngine) -> None:
    params = SamplingParams(temperature=1.0, seed=11, max_tokens=20, ignore_eos=True, top_p=0.9)
    expected = alone(engine, [9, 8], params).token_ids
    others = [add(engine, prompt, name=str(i)) for i, prompt in enumerate(prompts(5, 30, 256))]
    result = add(engine, [9, 8], params, name="seeded")
    finish(engine)
    assert result.token_ids == expected
    assert all(other.last.finish_reason == "length" for other in others)


def test_a_cached_prompt_is_not_computed_again(engine: LLMEngine) -> None:
    prompt = prompts(1, 100, 256)[0] * 3
    first, again = alone(engine, prompt), alone(engine, prompt)
    assert first.last.cached_tokens == 0
    assert again.last.cached_tokens == (len(prompt) - 1) // 4 * 4
    assert again.token_ids == first.token_ids
    assert engine.stats().cached_tokens == again.last.cached_tokens


def test_a_prompt_is_computed_again_after_the_cache_was_reset(thread: EngineThread) -> None:
    prompt = prompts(1, 100, 256)[0]
    first = last(submit(thread, "first", prompt=prompt))
    again = last(submit(thread, "again", prompt=prompt))
    thread.reset_prefix_cache()
    after = last(submit(thread, "after", prompt=prompt))
    assert (first.cached_tokens, after.cached_tokens) == (0, 0)
    assert again.cached_tokens > 0


def test_the_second_turn_of_a_conversation_reuses_the_first_answer(engine: LLMEngine) -> None:
    prompt = [5, 6, 7, 8, 9]
    answer = alone(engine, prompt).token_ids
    second = alone(engine, [*prompt, *answer, 10, 11])
    assert second.last.cached_tokens >= len(prompt) + len(answer) - 4


def test_n_answers_share_the_prompt(engine: LLMEngine) -> None:
    params = SamplingParams(temperature=1.5, seed=7, max_tokens=12, ignore_eos=True, n=3)
    prompt = list(range(30))
    result = add(engine, prompt, params)
    finish(engine)
    answers = [[t for d in result.deltas if d.index == i for t in d.token_ids] for i in range(3)]
    assert len(set(map(tuple, answers))) == 3
    for index, answer in enumerate(answers):
        one = SamplingParams(temperature=1.5, seed=7 + index, max_tokens=12, ignore_eos=True)
        assert alone(engine, prompt, one).token_ids == answer, "the same as a request of its own"
    ends = [delta for delta in result.deltas if delta.finish_reason]
    assert sorted(delta.index for delta in ends) == [0, 1, 2]
    assert {delta.prompt_tokens for delta in ends} == {30}


def test_n_answers_may_exceed_max_num_seqs(tiny_model: Path) -> None:
    engine = load(tiny_model, max_num_seqs=2)
    params = SamplingParams(temperature=1.5, seed=7, max_tokens=12, ignore_eos=True, n=5)
    result = add(engine, list(range(30)), params)
    finish(engine)
    answers = [[t for d in result.deltas if d.index == i for t in d.token_ids] for i in range(5)]
    assert list(map(len, answers)) == [12] * 5
    assert len(set(map(tuple, answers))) == 5


def test_aborting_ends_all_answers_of_a_request(engine: LLMEngine) -> None:
    result = add(engine, [1, 2], SamplingParams(max_tokens=50, n=3, ignore_eos=True))
    engine.step()
    engine.step()
    engine.abort("a")
    assert [delta.index for delta in result.deltas if delta.finish_reason == "abort"] == [0, 1, 2]
    assert not engine.has_work
    finish(engine)


LOSSLESS: list[dict[str, Any]] = [
    {"max_num_seqs": 3},
    {"max_num_batched_tokens": 16},
    {"max_num_batched_tokens": 33, "max_num_seqs": 5},
    {"chunked_prefill": False, "max_num_batched_tokens": 32},
    {"prefix_cache": False},
    {"speculative": "ngram"},
    {"speculative": "ngram", "num_speculative_tokens": 9, "max_num_batched_tokens": 24},
    {"threads": 2},
    {"kv_cache_memory_mb": 8},
]

FORMATS: list[dict[str, Any]] = [
    {},
    {"dtype": "float32"},
    {"dtype": "float16"},
    {"quantization": "none"},
    {"quantization": "int8"},
    {"quantization": "int4"},
    {"kv_cache_dtype": "float32"},
]
"""The number formats of a CPU; the first is the default."""


def named(knobs: dict[str, Any]) -> str:
    return ",".join(f"{k}={v}" for k, v in knobs.items()) or "default"


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize("format", FORMATS, ids=named)
def test_a_lossless_knob_does_not_change_an_answer(aligned_model: Path, format: dict[str, Any]) -> None:
    assert_lossless(aligned_model, format)


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0"])
def test_a_lossless_knob_does_not_change_an_answer_from_a_gguf_file(
    aligned_model: Path, kind: str, tmp_path: Path
) -> None:
    """With the default quantization the layers have the file's formats, the embedding too."""
    assert_lossless(write_gguf_model(aligned_model, tmp_path / "model.gguf", gguf.GGMLQuantizationType[kind]), {})


def assert_lossless(model: Path, format: dict[str, Any]) -> None:
    many = [prompt * 2 for prompt in prompts(16, 40, 256)]
    base = {"dtype": "auto", "block_size": 16, **format}
    expected = answers(load(model, **base), many)
    for knobs in LOSSLESS:
        assert set(knobs) <= LOSSLESS_KNOBS
        with closing(load(model, **base, **knobs)) as engine:
            assert answers(engine, many) == expected, knobs


SAME_TEXT: list[dict[str, Any]] = [
    {"compile": False},
    {"block_size": 16},
    {"block_size": 32, "speculative": "ngram", "max_num_batched_tokens": 16},
    {"cuda_graphs": False},  # see test_cuda
]
"""Knobs that change kernels or the order of sums: the logits' bits differ, but float32 greedy text hardly ever does.

test_parallel has the test of tensor_parallel_size.
"""


@pytest.mark.parametrize("knobs", SAME_TEXT, ids=named)
def test_other_kernels_give_the_same_greedy_text_in_float32(tiny_model: Path, knobs: dict[str, Any]) -> None:
    many = [prompt * 2 for prompt in prompts(16, 40, 256)]
    expected = answers(load(tiny_model), many)
    with closing(load(tiny_model, **knobs)) as engine:
        assert answers(engine, many) == expected


def test_every_lossless_knob_is_compared() -> None:
    assert {name for knobs in LOSSLESS for name in knobs} == LOSSLESS_KNOBS


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    "knobs", [{"compile": False}, {"device": "cuda"}, {"block_size": 8}, {"block_size": 8, "quantization": "int4"}]
)
def test_no_knob_is_lossless_with_pytorchs_products(knobs: dict[str, Any]) -> None:
    assert lossless_knobs(EngineConfig(device="cpu")) == LOSSLESS_KNOBS
    assert lossless_knobs(EngineConfig(**{"device": "cpu", **knobs})) == frozenset()


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_the_default_dtype_uses_the_compiled_kernels_on_every_cpu(
    tiny_model: Path, has_bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's bfloat16 product is used without the kernels only: its sums depend on the number of rows."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bfloat16)
    assert choose_precision("auto", "cpu").kernels
    assert choose_precision("auto", "cpu").activations == torch.float32
    alone = choose_precision("auto", "cpu", compiled=False)
    assert alone.activations == (torch.bfloat16 if has_bfloat16 else torch.float32)


def test_drafts_of_a_repetition_are_accepted(tiny_model: Path) -> None:
    engine = load(tiny_model, speculative="ngram")
    params = SamplingParams(temperature=0, max_tokens=80, ignore_eos=True)
    result = alone(engine, [1, 2, 3] * 6, params)
    stats = engine.stats()
    assert 0 < stats.accepted_tokens <= stats.drafted_tokens
    assert stats.steps == 80 - stats.accepted_tokens
    assert result.last.completion_tokens == 80
    assert result.token_ids == alone(load(tiny_model), [1, 2, 3] * 6, params).token_ids


def test_speculation_does_not_change_seeded_sampling(tiny_model: Path) -> None:
    bias = ((1, 50.0), (2, 50.0), (3, 50.0))  # with three tokens only, some pairs occur again
    params = SamplingParams(seed=3, max_tokens=60, ignore_eos=True, logit_bias=bias)
    plain = alone(load(tiny_model), [1, 2, 3] * 6, params)
    speculative = load(tiny_model, speculative="ngram")
    assert alone(speculative, [1, 2, 3] * 6, params).token_ids == plain.token_ids
    stats = speculative.stats()
    assert 0 < stats.accepted_tokens < stats.drafted_tokens


def test_drafts_and_several_answers_share_a_step(tiny_model: Path) -> None:
    """The step then samples as many rows as the logits have, but not the same ones."""
    bias = ((1, 50.0), (2, 50.0), (3, 50.0))
    one = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True, logit_bias=bias)
    two = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, n=2)

    def both(engine: LLMEngine) -> list[tuple[int, int]]:
        repeating = add(engine, [1, 2, 3] * 6, one, name="repeating")
        while engine.config.speculative != "none" and engine.stats().accepted_tokens < 3:
            engine.step()
        several = add(engine, [9, 8, 7], two, name="several")
        finish(engine)
        return [(d.index, token) for result in (repeating, several) for d in result.deltas for token in d.token_ids]

    speculative = load(tiny_model, speculative="ngram", num_speculative_tokens=1)
    assert sorted(both(speculative)) == sorted(both(load(tiny_model)))
    assert speculative.stats().accepted_tokens > 0


def answers(engine: LLMEngine, many: list[list[int]]) -> list[list[int]]:
    results = [add(engine, prompt, name=str(i)) for i, prompt in enumerate(many)]
    finish(engine)
    return [result.token_ids for result in results]


def test_abort_frees_the_blocks_at_once(engine: LLMEngine) -> None:
    result = add(engine, [1] * 30)
    engine.step()
    assert engine.stats().blocks_free < engine.stats().blocks_total
    engine.abort("a")
    assert engine.stats().blocks_free == engine.stats().blocks_total
    assert result.last.finish_reason == "abort"
    engine.abort("a")
    assert not engine.has_work


class FixedTokens:
    """Allows exactly these tokens in order. After the last it is finished, or fails if `ends` is False."""

    def __init__(self, tokens: list[int], ends: bool = True) -> None:
        self._tokens = list(tokens)
        self._ends = ends

    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        token = self._tokens[0]
        mask.view(np.uint32)[token // 32] |= np.uint32(1 << (token % 32))

    def accept(self, token_id: int) -> None:
        assert self._tokens.pop(0) == token_id

    def forced(self) -> list[int]:
        return []

    def copy(self) -> Constraint:
        return type(self)(self._tokens, self._ends)

    @property
    def finished(self) -> bool:
        return self._ends and not self._tokens


class ForcedTokens(FixedTokens):
    """Forces the tokens up to the next odd one."""

    def forced(self) -> list[int]:
        return list(takewhile(lambda token: token % 2 == 0, self._tokens))


def test_a_finished_constraint_ends_the_answer(engine: LLMEngine) -> None:
    result = add(engine, [1], constraint=FixedTokens([72, 73, 74]))
    finish(engine)
    assert result.token_ids == [72, 73, 74]
    assert result.last.finish_reason == "stop"


def test_forced_tokens_take_no_step_of_their_own(engine: LLMEngine) -> None:
    spelled = [2, 4, 6, 71, 8, 10, 73, 12]
    result = add(engine, [1], constraint=ForcedTokens(spelled))
    finish(engine)
    assert [delta.token_ids for delta in result.deltas] == [(2, 4, 6, 71, 8, 10), (73, 12)]
    assert [delta.completion_tokens for delta in result.deltas] == [6, 8]
    assert result.last.finish_reason == "stop"
    stats = engine.stats()
    assert (stats.forced_tokens, stats.generation_tokens, stats.steps) == (6, 8, 2)


def test_without_forced_tokens_each_takes_a_step(tiny_model: Path) -> None:
    engine = load(tiny_model, forced_tokens=False)
    result = add(engine, [1], constraint=ForcedTokens([2, 4, 71]))
    finish(engine)
    assert [delta.token_ids for delta in result.deltas] == [(2,), (4,), (71,)]
    assert engine.stats().forced_tokens == 0


def test_forced_tokens_end_at_max_tokens(engine: LLMEngine) -> None:
    params = SamplingParams(temperature=0, max_tokens=2)
    result = add(engine, [1], params, constraint=ForcedTokens([2, 4, 6, 71]))
    finish(engine)
    assert result.token_ids == [2, 4]
    assert result.last.finish_reason == "length"


def test_a_failing_constraint_ends_its_own_request_only(engine: LLMEngine) -> None:
    broken = add(engine, [1], name="broken", constraint=FixedTokens([72], ends=False))
    good = add(engine, [1], name="good")
    finish(engine)
    assert broken.last.finish_reason == "abort"
    assert broken.last.error is not None
    assert "constraint failed" in broken.last.error
    assert good.last.finish_reason == "length"


class RejectsForcedToken(FixedTokens):
    """After its first token it forces a token that it then rejects."""

    def forced(self) -> list[int]:
        return [] if len(self._tokens) > 1 else [256]


def test_forced_tokens_that_fail_end_their_own_request_only(
    engine: LLMEngine, caplog: pytest.LogCaptureFixture
) -> None:
    good = [add(engine, [1], name=f"good{i}") for i in range(4)]
    broken = add(engine, [1], name="broken", constraint=RejectsForcedToken([72, 73]))
    finish(engine)
    assert broken.last.finish_reason == "abort"
    assert broken.last.error == CONSTRAINT_FAILED
    assert "request broken is aborted: its grammar failed (AssertionError)" in caplog.text
    assert {each.last.finish_reason for each in good} == {"length"}
    assert len({tuple(each.token_ids) for each in good}) == 1


def test_no_error_and_no_log_line_has_data_of_a_client(
    engine: LLMEngine, thread: EngineThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception's message may contain the repr of any of the engine's objects."""

    def fail(scheduled: list[ScheduledSequence], *rest: Any) -> None:
        raise KeyError(scheduled, scheduled[0].sequence.request, scheduled[0].tokens)

    params = SamplingParams(temperature=0, stop=("secret",))
    with monkeypatch.context() as patch:
        patch.setattr("serving.engine.engine.build_batch", fail)
        failed = last(submit(thread, "failing", params, prompt=[201, 202, 203]))
    texts = f"{failed!r}{failed.error}{caplog.text}"
    assert failed.error == ENGINE_FAILED
    assert "KeyError" in caplog.text
    assert not re.search(r"20[123]|secret", texts)


def test_the_end_of_sequence_ends_the_answer_without_text(engine: LLMEngine) -> None:
    result = add(engine, [1], constraint=FixedTokens([72, 256]))
    finish(engine)
    assert result.last.finish_reason == "stop"
    assert result.last.text == ""
    assert result.last.completion_tokens == 2


def test_a_failing_receiver_ends_its_own_request_only(engine: LLMEngine) -> None:
    def fail(delta: TokenDelta) -> None:
        raise RuntimeError("gone")

    engine.add(Request(id="gone", prompt_ids=[1], params=GREEDY, on_delta=fail))
    good = add(engine, [1], name="good")
    finish(engine)
    assert good.last.finish_reason == "length"


def test_a_failing_receiver_of_several_answers_ends_its_own_request_only(engine: LLMEngine) -> None:
    """on_delta fails at the end of the first answer, in the step in which the others would get their first token."""

    def fail(delta: TokenDelta) -> None:
        raise RuntimeError("gone")

    params = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True, n=3)
    engine.add(Request(id="gone", prompt_ids=[1], params=params, on_delta=fail))
    good = add(engine, [1], name="good")
    finish(engine)
    assert good.last.finish_reason == "length"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [([], "empty"), ([257], "outside 0 to 256"), ([-1], "outside 0 to 256")],
)
def test_a_prompt_that_cannot_run_is_refused(engine: LLMEngine, prompt: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add(engine, prompt)


def test_a_prompt_too_long_is_refused_with_both_numbers(engine: LLMEngine) -> None:
    with pytest.raises(PromptTooLong, match=r"600 tokens.*512"):
        add(engine, [1] * 600)


def test_a_max_model_len_beyond_the_models_context_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelLoadError, match="more than the model's context of 512"):
        load(tiny_model, max_model_len=1000)


@pytest.fixture
def thread(engine: LLMEngine) -> Iterator[EngineThread]:
    thread = EngineThread(engine)
    thread.start()
    yield thread
    thread.shutdown()


def submit(
    thread: EngineThread, name: str, params: SamplingParams = GREEDY, prompt: Sequence[int] = (1, 2)
) -> SimpleQueue[TokenDelta]:
    queue: SimpleQueue[TokenDelta] = SimpleQueue()
    thread.submit(Request(id=name, prompt_ids=prompt, params=params, on_delta=queue.put))
    return queue


def last(queue: SimpleQueue[TokenDelta]) -> TokenDelta:
    while (delta := queue.get(timeout=30)).finish_reason is None:
        pass
    return delta


def test_requests_from_several_threads_all_end(thread: EngineThread) -> None:
    queues: SimpleQueue[SimpleQueue[TokenDelta]] = SimpleQueue()
    clients = [threading.Thread(target=lambda i=i: queues.put(submit(thread, str(i)))) for i in range(8)]
    for client in clients:
        client.start()
    assert [last(queues.get(timeout=30)).finish_reason for _ in clients] == ["length"] * 8


def test_shutdown_aborts_running_requests(engine: LLMEngine) -> None:
    thread = EngineThread(engine)
    thread.start()
    queue = submit(thread, "long", SamplingParams(temperature=0, max_tokens=500, ignore_eos=True))
    queue.get(timeout=30)
    thread.shutdown()
    assert last(queue).finish_reason == "abort"
    assert thread.stats().blocks_free == thread.stats().blocks_total
    with pytest.raises(EngineOverloaded, match="shutting down"):
        submit(thread, "late")


class Panic(BaseException):
    """An exception like the one that a Rust library raises when it panics."""


@pytest.mark.parametrize("error", [ZeroDivisionError, Panic])
def test_a_failing_step_ends_its_requests_not_the_thread(
    engine: LLMEngine, thread: EngineThread, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*args: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("serving.engine.engine.build_batch", fail)
        failed = last(submit(thread, "failing"))
    assert failed.finish_reason == "abort"
    assert failed.error == ENGINE_FAILED
    assert last(submit(thread, "next")).finish_reason == "length"


class PanickingConstraint(FixedTokens):
    """Panics as soon as its request is queued."""

    def forced(self) -> list[int]:
        raise Panic


def test_a_panic_while_a_request_is_queued_does_not_end_the_thread(thread: EngineThread) -> None:
    queue: SimpleQueue[TokenDelta] = SimpleQueue()
    constraint = PanickingConstraint([72])
    thread.submit(Request(id="a", prompt_ids=[1], params=GREEDY, on_delta=queue.put, constraint=constraint))
    assert last(queue).error == ENGINE_FAILED
    assert last(submit(thread, "next")).finish_reason == "length"


def test_too_many_waiting_are_refused(tiny_model: Path) -> None:
    thread = EngineThread(load(tiny_model, max_waiting=2))  # not started, so the requests wait
    submit(thread, "a")
    submit(thread, "b")
    with pytest.raises(EngineOverloaded, match="2 requests are waiting already"):
        submit(thread, "c")
