"""Chooses the next tokens from logits: constraints, penalties, sampling by seed, and log probabilities."""

import logging
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray

from serving.core import Constraint, SamplingParams, Sequence, TokenLogprob

_LOG = logging.getLogger(__name__)
Errors = dict[int, str]  # by row
Rows = Mapping[int, torch.Tensor]
NOT_A_NUMBER = "the model's logits are not numbers"
CONSTRAINT_FAILED = "the output constraint failed"
"""All that is said of it: a grammar engine's own words hold parts of the answer and of the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledToken:
    """What a row got: a token, or the reason why it can't have one (its constraint failed or allows nothing)."""

    token_id: int = -1
    logprob: TokenLogprob | None = None
    error: str | None = None


def sample(logits: torch.Tensor, sequences: Seq[Sequence]) -> list[SampledToken]:
    """The next token of each row of float32 `logits` [rows, vocab], which are changed in place.

    What a row gets depends on its logits, tokens, parameters and seed only, not on the other rows.
    """
    reported = own_logprobs(logits, sequences)
    errors = constrain(logits, sequences)
    for row, sequence in enumerate(sequences):
        if changes_logits(sequence.request.params):
            penalize(logits[row], sequence)
    tokens = _choose(logits, sequences, errors)
    return [
        _result(token, sequence.request.params, reported.get(row), errors.get(row))
        for row, (sequence, token) in enumerate(zip(sequences, tokens, strict=True))
    ]


def constrain(logits: torch.Tensor, sequences: Seq[Sequence]) -> Errors:
    """Rule out, in place, what each row's constraint forbids. A row of `logits` [rows, vocab] each.

    A constraint that fails, or allows nothing, is an error of its row alone.
    """
    errors: Errors = {}
    for row, sequence in enumerate(sequences):
        if sequence.constraint is None:
            continue
        try:
            forbidden = _forbidden(sequence.constraint, logits.shape[1])
        except Exception as error:  # a grammar engine's failure, whatever it is, must not end the other requests
            _LOG.error("request %s is aborted: its grammar failed (%s)", sequence.id, type(error).__name__)
            errors[row] = CONSTRAINT_FAILED
            continue
        logits[row].masked_fill_(torch.from_numpy(forbidden).to(logits.device), float("-inf"))
    return errors


def _forbidden(constraint: Constraint, vocab_size: int) -> NDArray[np.bool_]:
    """bool [vocab]"""
    mask = np.zeros(-(-vocab_size // 32), np.int32)
    constraint.fill_mask(mask)
    if not mask.any():
        raise ValueError("it allows no token")
    # Inverting 32 tokens at a time is cheaper than inverting bools.
    return np.unpackbits((~mask).view(np.uint8), count=vocab_size, bitorder="little").view(np.bool_)


def _choose(logits: torch.Tensor, sequences: Seq[Sequence], errors: Errors) -> list[int]:
    """A token a row; a row whose logits are no numbers becomes an error."""
    tokens, greatest = _likeliest(logits)
    for row, sequence in enumerate(sequences):
        if not isfinite(greatest[row]):
            errors.setdefault(row, NOT_A_NUMBER)
        elif sequence.request.params.temperature > 0 and row not in errors:
            tokens[row] = _sample_row(logits[row], greatest[row], sequence)
    return tokens


def _likeliest(logits: torch.Tensor) -> tuple[list[int], list[float]]:
    """[rows] tokens and their logits; NaN where a row has one."""
    if logits.device.type == "cpu":  # NumPy's argmax takes a sixth of the time of PyTorch's there
        array = logits.numpy()
        tokens = array.argmax(axis=-1)
        return tokens.tolist(), array[np.arange(len(array)), tokens].tolist()
    values, ids = logits.max(dim=-1)
    return ids.tolist(), values.tolist()


def _sample_row(logits: torch.Tensor, greatest: float, sequence: Sequence) -> int:
    """By one uniform draw of the answer's own generator."""
    cumulative, candidates = distribution(logits, greatest, sequence.request.params)
    return token_at(sequence.random.random(), cumulative, candidates)


def distribution(
    logits: torch.Tensor, greatest: float, params: SamplingParams
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What a token is drawn from: cumulative weights, not normalized, and whose they are (None: every token's)."""
    weights = ((logits - greatest) / params.temperature).exp_()  # not normalized; the greatest is 1
    candidates: torch.Tensor | None = None
    if params.top_k or params.top_p < 1 or params.min_p:
        weights, candidates = _candidates(weights, params)
    return weights.cumsum(dim=-1, dtype=torch.float64), candidates


def token_at(share: float, cumulative: torch.Tensor, candidates: torch.Tensor | None) -> int:
    """The cumulative distribution inverted at `share` of its whole, 0 to 1."""
    target = share * float(cumulative[-1])
    # right=True: a token of zero probability is never chosen.
    index = int(torch.searchsorted(cumulative, target, right=True).clamp_(max=len(cumulative) - 1))
    return index if candidates is None else int(candidates[index])


def _candidates(weights: torch.Tensor, params: SamplingParams) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights, falling, and ids of what min_p, then top_k, then top_p leave; the likeliest is always left.

    As vLLM takes them: min_p is a share of the likeliest token's probability (Nguyen et al. 2024), and top_p
    (Holtzman et al. 2019) a share of what the other two leave, the fewest tokens that reach it. Where they leave
    everything, it is a share of everything.
    """
    total_weight = float(weights.sum(dtype=torch.float64))
    weights, ids = _top_k(weights, params) if params.top_k else _above_a_floor(weights, total_weight, params)
    if params.min_p:
        count = max(1, int((weights >= params.min_p).sum()))
        weights, ids = weights[:count], ids[:count]
    if params.top_p == 1:
        return weights, ids
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    total = float(cumulative[-1]) if params.top_k or params.min_p else total_weight
    keep = max(1, int((cumulative - weights < params.top_p * total).sum()))
    return weights[:keep], ids[:keep]


def _top_k(weights: torch.Tensor, params: SamplingParams) -> tuple[torch.Tensor, torch.Tensor]:
    values, ids = weights.topk(min(params.top_k, len(weights)))
    return values, ids


def _above_a_floor(
    weights: torch.Tensor, total_weight: float, params: SamplingParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sorted, without the tail that surely goes: sorting a whole vocabulary takes longer than all the rest."""
    # Even all tokens of less weight than this have together less than top_p leaves out.
    tail = (1 - params.top_p) * total_weight / len(weights) * (1 - 1e-6)
    ids = (weights >= (params.min_p or tail)).nonzero().squeeze(1)
    values, order = weights[ids].sort(descending=True)
    return values, ids[order]


def _result(token: int, params: SamplingParams, logprobs: torch.Tensor | None, error: str | None) -> SampledToken:
    if error is not None:
        return SampledToken(error=error)
    if logprobs is None:
        return SampledToken(token_id=token)
    return SampledToken(token_id=token, logprob=report(logprobs, token, params.logprobs or 0))


def penalize(row: torch.Tensor, sequence: Sequence) -> None:
    """Change one row of logits [vocab], in place, by the request's bias and penalties.

    In the order that vLLM has: bias; then repetition (Keskar et al. 2019, section 4.1, with negative logits
    multiplied instead of divided, as Hugging Face does it) over prompt and answer; then frequency and presence
    over the answer, as OpenAI defines them: logit -= frequency * count + presence * (count > 0).
    """
    params = sequence.request.params
    if params.logit_bias:
        _bias(row, params)
    if params.repetition_penalty != 1:
        _repetition(row, _ids(sequence.token_ids, row), params.repetition_penalty)
    if params.frequency_penalty or params.presence_penalty:
        generated = _ids(sequence.token_ids[sequence.num_prompt_tokens :], row)
        row.scatter_add_(0, generated, row.new_full((1,), -params.frequency_penalty).expand(len(generated)))
        # Where a token is there twice, both times the same value is written.
        row.scatter_(0, generated, row.gather(0, generated) - params.presence_penalty)


def changes_logits(params: SamplingParams) -> bool:
    penalized = params.presence_penalty or params.frequency_penalty or params.repetition_penalty != 1
    return bool(penalized or params.logit_bias)


def _bias(row: torch.Tensor, params: SamplingParams) -> None:
    tokens, addends = zip(*params.logit_bias, strict=True)
    row.index_add_(0, _ids(tokens, row), torch.tensor(addends, dtype=row.dtype, device=row.device))


def _repetition(row: torch.Tensor, ids: torch.Tensor, penalty: float) -> None:
    scores = row.gather(0, ids)
    row.scatter_(0, ids, torch.where(scores > 0, scores / penalty, scores * penalty))


def _ids(tokens: Seq[int], row: torch.Tensor) -> torch.Tensor:
    # torch.tensor of a list of ints takes five times as long as NumPy's.
    return torch.from_numpy(np.array(tokens, dtype=np.int64)).to(row.device)


def own_logprobs(logits: torch.Tensor, sequences: Seq[Sequence]) -> Rows:
    """Natural log of the model's own distribution, a copy [vocab] for each row whose request asks for it.

    Due before the logits are changed: constraints, penalties and temperature have no part in it.
    """
    return {
        row: logits[row].log_softmax(dim=-1)
        for row, sequence in enumerate(sequences)
        if sequence.request.params.logprobs is not None
    }


def report(logprobs: torch.Tensor, token: int, count: int) -> TokenLogprob:
    """Of one row [vocab]: the token's log probability and the `count` likeliest tokens', falling.

    Of equals (frequent among bfloat16 logits) the chosen token comes first, so that a greedy choice heads its list.
    """
    own = float(logprobs[token])
    values, ids = logprobs.topk(min(count, len(logprobs)))
    others = [(other, value) for other, value in zip(ids.tolist(), values.tolist(), strict=True) if other != token]
    above = sum(value > own for _, value in others)
    top = [*others[:above], (token, own), *others[above:]][: len(values)]
    return TokenLogprob(token_id=token, logprob=own, top=tuple(top))
