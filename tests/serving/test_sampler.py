from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from serving.request import Constraint, Request, SamplingParams
from serving.sampler import constrain, sample
from serving.sequence import Sequence

VOCAB = 50


class Allow:
    """Allows these tokens only."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens = tuple(tokens)

    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        for token in self._tokens:
            mask.view(np.uint32)[token // 32] |= np.uint32(1 << (token % 32))

    def accept(self, token_id: int) -> None:
        pass

    @property
    def finished(self) -> bool:
        return False


class Broken(Allow):
    def fill_mask(self, mask: NDArray[np.int32]) -> None:
        raise RuntimeError("bad grammar")


def make(params: SamplingParams, constraint: Constraint | None = None, name: str = "a") -> Sequence:
    request = Request(id=name, prompt_ids=[1], params=params, on_delta=lambda delta: None, constraint=constraint)
    return Sequence.of(request, 100)


GREEDY = SamplingParams(temperature=0)


def logits(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, VOCAB, generator=torch.Generator().manual_seed(seed))


def test_greedy_takes_the_likeliest() -> None:
    rows = logits(4)
    assert sample(rows, [make(GREEDY)] * 4) == rows.argmax(dim=-1).tolist()


@pytest.mark.parametrize("params", [SamplingParams(seed=3), SamplingParams(seed=3, top_p=0.8, top_k=10)])
def test_a_seed_gives_the_same_tokens_in_any_company(params: SamplingParams) -> None:
    rows = [logits(1, seed) for seed in range(8)]
    alone = make(params)
    expected = [sample(row, [alone])[0] for row in rows]
    again, other = make(params), make(SamplingParams(seed=9))
    batched = [sample(torch.cat([logits(1, 99), row]), [other, again])[1] for row in rows]
    assert batched == expected
    assert len(set(expected)) > 1


def test_frequencies_follow_the_softmax() -> None:
    row = torch.tensor([[0.0, 1.0, 2.0, float("-inf")]])
    sequence = make(SamplingParams(seed=0, temperature=0.5))
    counts = Counter(sample(row, [sequence])[0] for _ in range(4000))
    expected = (row[0] / 0.5).softmax(dim=-1)
    for token in range(4):
        assert counts[token] / 4000 == pytest.approx(float(expected[token]), abs=0.03)
    assert counts[3] == 0


def drawn(row: torch.Tensor, params: SamplingParams) -> set[int]:
    sequence = make(params)
    return {sample(row, [sequence])[0] for _ in range(300)}


def test_top_k_keeps_the_k_likeliest() -> None:
    row = torch.arange(10.0).mul(0.1).unsqueeze(0)
    assert drawn(row, SamplingParams(seed=1, top_k=3)) == {7, 8, 9}


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    row = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    assert drawn(row, SamplingParams(seed=1, top_p=0.69)) == {2, 3}
    assert drawn(row, SamplingParams(seed=1, top_p=0.71)) == {1, 2, 3}
    assert drawn(row, SamplingParams(seed=1, top_p=0.0001)) == {3}


def test_top_p_over_a_flat_distribution_wider_than_the_sorted_head() -> None:
    row = torch.zeros(1, 5000)
    sequence = make(SamplingParams(seed=1, top_p=0.99))
    assert len({sample(row, [sequence])[0] for _ in range(1500)}) > 1000


def test_top_p_is_a_share_of_what_top_k_leaves() -> None:
    row = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    assert drawn(row, SamplingParams(seed=1, top_k=2, top_p=0.5)) == {3}


def test_constraints_rule_tokens_out_of_their_row_only() -> None:
    rows = logits(3)
    expected = rows.argmax(dim=-1).tolist()
    allowed = [4, 31, 32, 49]
    sequences = [make(GREEDY), make(GREEDY, Allow(allowed)), make(GREEDY)]
    best = max(allowed, key=lambda token: float(rows[1, token]))
    assert constrain(rows, sequences) == {}
    assert sample(rows, sequences) == [expected[0], best, expected[2]]
    assert drawn(rows[1:2], SamplingParams(seed=1, temperature=5.0)) <= set(allowed)


def test_a_failing_constraint_is_its_own_requests_error() -> None:
    sequences = [
        make(GREEDY, Broken([]), "broken"),
        make(GREEDY, Allow([]), "empty"),
        make(GREEDY, Allow([5]), "good"),
    ]
    rows = logits(3)
    errors = constrain(rows, sequences)
    assert errors == {
        "broken": "the output constraint failed: bad grammar",
        "empty": "the output constraint failed: it allows no token",
    }
    assert sample(rows, sequences)[2] == 5
