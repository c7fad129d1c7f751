"""Sampling with every parameter, and log probabilities."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.core import Constraint, Request, SamplingParams, Sequence
from serving.engine.sampler import (
    CONSTRAINT_FAILED,
    NON_FINITE_LOGITS,
    SampledToken,
    apply_constraints,
    distribution,
    invert_cumulative,
    penalize,
    sample,
)

VOCAB = 50
GREEDY = SamplingParams(temperature=0)


class Allow:
    """Allows these tokens only."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens = tuple(tokens)

    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        for token in self._tokens:
            mask.view(np.uint32)[token // 32] |= np.uint32(1 << (token % 32))

    def accept(self, token_id: int) -> None:
        pass

    def forced(self) -> list[int]:
        return []

    def copy(self) -> "Allow":
        return self

    @property
    def finished(self) -> bool:
        return False


class Broken(Allow):
    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        raise RuntimeError("bad grammar")


def make(
    params: SamplingParams = GREEDY,
    constraint: Constraint | None = None,
    prompt: Iterable[int] = (1,),
    generated: Iterable[int] = (),
) -> Sequence:
    request = Request(id="a", prompt_ids=[*prompt], params=params, on_delta=lambda delta: None, constraint=constraint)
    sequence = Sequence.of(request, 10_000)
    sequence.token_ids += generated
    return sequence


def logits(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, VOCAB, generator=torch.Generator().manual_seed(seed))


def tokens(results: Iterable[SampledToken]) -> list[int]:
    return [result.token_id for result in results]


def one(row: torch.Tensor, sequence: Sequence) -> int:
    [result] = sample(row.clone().unsqueeze(0), [sequence])
    assert result.error is None
    return result.token_id


def drawn(row: torch.Tensor, params: SamplingParams, constraint: Constraint | None = None) -> set[int]:
    sequence = make(params, constraint)
    return {one(row, sequence) for _ in range(300)}


def test_greedy_takes_the_likeliest() -> None:
    rows = logits(4)
    expected = rows.argmax(dim=-1).tolist()
    assert tokens(sample(rows, [make() for _ in range(4)])) == expected


def test_inference_tensors_can_be_sampled() -> None:
    with torch.inference_mode():
        rows = logits(2) * 1
        params = SamplingParams(seed=1, top_p=0.9, presence_penalty=1, logit_bias=((3, 1.0),), logprobs=2)
        assert all(result.error is None for result in sample(rows, [make(), make(params, Allow(range(9)))]))


SAMPLED = [
    SamplingParams(seed=3),
    SamplingParams(seed=3, top_p=0.8, top_k=10),
    SamplingParams(seed=3, min_p=0.05),
    SamplingParams(seed=3, top_p=0.9, presence_penalty=0.5, frequency_penalty=0.3, repetition_penalty=1.2),
    SamplingParams(seed=3, logit_bias=((7, 3.0),), logprobs=3),
]


@pytest.mark.parametrize("params", SAMPLED)
def test_a_seed_gives_the_same_tokens_in_any_batch(params: SamplingParams) -> None:
    rows = [logits(1, seed)[0] for seed in range(8)]
    alone, again, other = make(params), make(params), make(replace(params, seed=9))
    expected = [one(row, alone) for row in rows]
    batched = []
    for position, row in enumerate(rows):
        sequences = [make(GREEDY, Allow([4])), make(GREEDY, Broken([])), other]
        sequences.insert(position % 4, again)
        batch = logits(4, 99)
        batch[position % 4] = row
        batched.append(tokens(sample(batch, sequences))[position % 4])
    assert batched == expected
    assert len(set(expected)) > 1


def test_frequencies_follow_the_softmax() -> None:
    row = torch.tensor([0.0, 1.0, 2.0, float("-inf")])
    sequence = make(SamplingParams(seed=0, temperature=0.5))
    counts = Counter(one(row, sequence) for _ in range(4000))
    expected = (row / 0.5).softmax(dim=-1)
    for token in range(4):
        assert counts[token] / 4000 == pytest.approx(float(expected[token]), abs=0.03)
    assert counts[3] == 0


@pytest.mark.parametrize("temperature", [1e-30, 1e-46, 1e-300])
@pytest.mark.parametrize("limits", [{}, {"top_p": 0.5}, {"top_k": 2}, {"min_p": 0.5}], ids=str)
def test_a_tiny_temperature_is_greedy(temperature: float, limits: dict[str, Any]) -> None:
    """float32 rounds the smaller temperatures to 0."""
    row = torch.tensor([1e4, 1.0001e4, -1e4])
    assert drawn(row, SamplingParams(seed=1, temperature=temperature, **limits)) == {1}


def test_top_k_keeps_the_k_likeliest() -> None:
    row = torch.arange(10.0).mul(0.1)
    assert drawn(row, SamplingParams(seed=1, top_k=3)) == {7, 8, 9}


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    row = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    assert drawn(row, SamplingParams(seed=1, top_p=0.69)) == {2, 3}
    assert drawn(row, SamplingParams(seed=1, top_p=0.71)) == {1, 2, 3}
    assert drawn(row, SamplingParams(seed=1, top_p=0.0001)) == {3}


@pytest.mark.parametrize("top_p", [0.5, 0.8, 0.95])
def test_top_p_alone_is_a_share_of_all_tokens(top_p: float) -> None:
    row = torch.randn(50_000, generator=torch.Generator().manual_seed(1)) * 1.5
    _, ids = distribution(row, float(row.max()), SamplingParams(top_p=top_p))
    mass = row.double().softmax(dim=-1)[ids]
    assert float(mass.sum()) >= top_p
    assert float(mass[:-1].sum()) < top_p


def test_top_p_over_a_flat_distribution() -> None:
    row = torch.zeros(5000)
    sequence = make(SamplingParams(seed=1, top_p=0.99))
    assert len({one(row, sequence) for _ in range(1500)}) > 1000


def test_top_p_is_a_share_of_what_top_k_leaves() -> None:
    row = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    assert drawn(row, SamplingParams(seed=1, top_k=2, top_p=0.5)) == {3}


def test_min_p_is_a_share_of_the_likeliest_after_temperature() -> None:
    row = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    assert drawn(row, SamplingParams(seed=1, min_p=0.6)) == {2, 3}
    assert drawn(row, SamplingParams(seed=1, min_p=1.0)) == {3}
    assert drawn(row, SamplingParams(seed=1, min_p=0.4, temperature=2.0)) == {0, 1, 2, 3}
    assert drawn(row, SamplingParams(seed=1, min_p=0.4, top_k=2)) == {2, 3}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.floats(0.05, 1),
    st.floats(0, 0.5),
    st.integers(0, 60),
    st.floats(0.2, 2),
    st.floats(1, 20),
)
def test_sampled_tokens_are_among_the_allowed_ones(
    seed: int, top_p: float, min_p: float, top_k: int, temperature: float, scale: float
) -> None:
    row = logits(1, seed)[0] * scale
    params = SamplingParams(seed=seed, top_p=top_p, min_p=min_p, top_k=top_k, temperature=temperature)
    sequence = make(params)
    assert {one(row, sequence) for _ in range(20)} <= allowed_tokens(row, params)


def allowed_tokens(row: torch.Tensor, params: SamplingParams) -> set[int]:
    """The tokens that the parameters allow, computed by sorting all; with a tolerance for rounding at the limits."""
    probabilities = (row.double() / params.temperature).softmax(dim=-1)
    values, ids = probabilities.sort(descending=True)
    count = min(params.top_k or VOCAB, VOCAB)
    count = min(count, int((values >= params.min_p * values[0] * (1 - 1e-4)).sum()))
    cut = params.top_k or params.min_p
    share = values[:count] / (values[:count].sum() if cut else 1)
    num_allowed = (share.cumsum(dim=-1) - share < params.top_p + 1e-4).sum()
    return set(ids[: int(num_allowed)].tolist())


def changed(row: torch.Tensor, sequence: Sequence) -> torch.Tensor:
    """The row after the sampler has changed it."""
    rows = row.clone().unsqueeze(0)
    sample(rows, [sequence])
    return rows[0]


def test_presence_and_frequency_count_the_answer_only() -> None:
    row = torch.zeros(5)
    params = replace(GREEDY, presence_penalty=0.5, frequency_penalty=0.25)
    got = changed(row, make(params, prompt=[0, 1], generated=[1, 2, 2, 2]))
    assert got.tolist() == [0, -0.75, -1.25, 0, 0]


def test_repetition_counts_prompt_and_answer_once() -> None:
    row = torch.tensor([2.0, -2.0, 4.0, -4.0, 0.0])
    got = changed(row, make(replace(GREEDY, repetition_penalty=2.0), prompt=[0, 0, 1], generated=[2, 2, 3]))
    assert got.tolist() == [1.0, -4.0, 2.0, -8.0, 0.0]


def test_bias_is_added_before_the_penalties() -> None:
    row = torch.zeros(4)
    params = replace(GREEDY, logit_bias=((0, 4.0), (2, -100.0)), repetition_penalty=2.0)
    assert changed(row, make(params, prompt=[0])).tolist() == [2.0, 0.0, -100.0, 0.0]


def test_bias_and_penalties_allow_no_forbidden_token() -> None:
    params = replace(GREEDY, logit_bias=((0, 100.0),), repetition_penalty=0.1, presence_penalty=-2.0)
    assert one(torch.zeros(4), make(params, Allow([3]), prompt=[0], generated=[0])) == 3


def test_a_penalty_ends_a_repetition() -> None:
    row = torch.tensor([1.0, 0.9, 0.0])
    sequence = make(replace(GREEDY, frequency_penalty=0.2), prompt=[0])
    for _ in range(4):
        sequence.token_ids.append(one(row, sequence))
    assert sequence.token_ids[1:] == [0, 1, 0, 1]


def test_rows_without_penalties_are_not_changed() -> None:
    rows = logits(2)
    before = rows[0].clone()
    sample(rows, [make(), make(replace(GREEDY, presence_penalty=1.0), generated=[5])])
    assert torch.equal(rows[0], before)


def test_logprobs_are_the_models_own() -> None:
    rows = logits(2)
    expected = rows[1].log_softmax(dim=-1)
    params = SamplingParams(temperature=0, logprobs=3, logit_bias=((7, 100.0),), presence_penalty=1.0)
    without, result = sample(rows, [make(), make(params, Allow([7, 8]))])
    assert without.logprob is None
    assert result.logprob is not None
    assert (result.token_id, result.logprob.token_id) == (7, 7)
    assert result.logprob.logprob == pytest.approx(float(expected[7]))
    best = expected.topk(3)
    assert [token for token, _ in result.logprob.top] == best.indices.tolist()
    assert [value for _, value in result.logprob.top] == pytest.approx(best.values.tolist())


def test_logprobs_of_zero_alternatives() -> None:
    [result] = sample(torch.tensor([[math.log(3.0), 0.0]]), [make(replace(GREEDY, logprobs=0))])
    assert result.logprob is not None
    assert result.logprob.top == ()
    assert math.exp(result.logprob.logprob) == pytest.approx(0.75)


def test_a_constraint_applies_to_its_own_row_only() -> None:
    rows = logits(3)
    expected = rows.argmax(dim=-1).tolist()
    allowed = [4, 31, 32, 49]
    best = max(allowed, key=lambda token: float(rows[1, token]))
    assert tokens(sample(rows, [make(), make(GREEDY, Allow(allowed)), make()])) == [expected[0], best, expected[2]]
    assert drawn(logits(1)[0], SamplingParams(seed=1, temperature=5.0), Allow(allowed)) == set(allowed)


def test_a_failing_constraint_is_an_error_of_its_row_only() -> None:
    """The rows may be answers to one request."""
    sequences = [make(GREEDY, Broken([])), make(GREEDY, Allow([])), make(GREEDY, Allow([5]))]
    errors = {0: CONSTRAINT_FAILED, 1: CONSTRAINT_FAILED}
    assert apply_constraints(logits(3), sequences) == errors
    results = sample(logits(3), sequences)
    assert [result.error for result in results] == [errors[0], errors[1], None]
    assert results[2].token_id == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("params", [GREEDY, SamplingParams(seed=1)])
def test_non_finite_logits_are_an_error_of_their_row_only(value: float, params: SamplingParams) -> None:
    rows = logits(2)
    rows[0] = value
    broken, fine = sample(rows, [make(params), make(params)])
    assert (broken.error, fine.error) == (NON_FINITE_LOGITS, None)


def test_answers_to_one_prompt_differ_and_are_reproducible() -> None:
    """Answer i is sampled with the seed plus i."""
    first = make(SamplingParams(seed=4, n=2, temperature=3.0))
    second, reference = first.fork(1), make(SamplingParams(seed=5, temperature=3.0))
    rows = [logits(1, i)[0] for i in range(9)]
    drawn = [[one(row, sequence) for row in rows] for sequence in (first, second, reference)]
    assert drawn[1] == drawn[2] != drawn[0]


DRAWS = 20_000
VOCABULARIES = {50: 1.0, 2_000: 2.0, 32_000: 3.0}
"""Sizes, and the standard deviation of the logits."""

DISTRIBUTIONS = [
    SamplingParams(seed=5, temperature=0.7),
    SamplingParams(seed=5, top_p=0.6),
    SamplingParams(seed=5, top_k=20),
    SamplingParams(seed=5, min_p=0.05),
    SamplingParams(seed=5, presence_penalty=1.5, frequency_penalty=0.7),
    SamplingParams(seed=5, repetition_penalty=1.8),
    SamplingParams(seed=5, logit_bias=((3, 4.0), (7, -5.0))),
    SamplingParams(seed=5, temperature=1.3, top_p=0.9, top_k=40, min_p=0.01),
]


@pytest.mark.parametrize("size", VOCABULARIES)
@pytest.mark.parametrize("params", DISTRIBUTIONS, ids=range(len(DISTRIBUTIONS)))
def test_draws_follow_the_reference(size: int, params: SamplingParams) -> None:
    """Chi-square test against `reference`. Rare tokens are counted together."""
    row = torch.randn(size, generator=torch.Generator().manual_seed(size)) * VOCABULARIES[size]
    sequence = make(params, generated=[1, 3, 3, int(row.argmax())])
    expected = reference(row.double().numpy(), sequence) * DRAWS
    penalize(row, sequence)
    drawn_from = distribution(row, float(row.max()), params)
    counts = np.zeros(size)
    for _ in range(DRAWS):
        counts[invert_cumulative(sequence.random.random(), *drawn_from)] += 1
    assert not counts[expected == 0].any()
    often = expected >= 5
    found, wanted = counts[often], expected[often]
    if expected[~often].sum() >= 5:
        found, wanted = np.append(found, counts[~often].sum()), np.append(wanted, expected[~often].sum())
    else:
        wanted = wanted * found.sum() / wanted.sum()
    assert scipy.stats.chisquare(found, wanted).pvalue > 1e-4


def reference(logits: NDArray[np.float64], sequence: Sequence) -> NDArray[np.float64]:
    """Probabilities [vocab], computed directly from the definitions of the parameters."""
    params, ids = sequence.request.params, sequence.token_ids
    logits = logits.copy()
    for token, addend in params.logit_bias:
        logits[token] += addend
    for token in set(ids):
        logits[token] *= params.repetition_penalty if logits[token] < 0 else 1 / params.repetition_penalty
    for token in set(ids[sequence.num_prompt_tokens :]):
        count = ids[sequence.num_prompt_tokens :].count(token)
        logits[token] -= params.frequency_penalty * count + params.presence_penalty
    probabilities = scipy.special.softmax(logits / params.temperature)
    order = np.argsort(-probabilities)
    remaining = probabilities[order]
    if params.top_k:
        remaining[params.top_k :] = 0
    remaining[remaining < params.min_p * remaining[0]] = 0
    remaining /= remaining.sum()
    remaining[np.cumsum(remaining) - remaining >= params.top_p] = 0
    result = np.zeros(len(logits))
    result[order] = remaining / remaining.sum()
    return result
