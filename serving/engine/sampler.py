"""Samples the next tokens from logits: constraints, penalties, seeded sampling and log probabilities."""

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
RowLogprobs = Mapping[int, torch.Tensor]
MIN_TEMPERATURE = 1e-30  # float32 rounds temperatures below 1e-45 to 0; at this one, sampling is already greedy
NON_FINITE_LOGITS = "the model's logits are not finite"
CONSTRAINT_FAILED = "the output constraint failed"
"""The message of a grammar engine is not shown: it quotes the answer and the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledToken:
    """The result of a row: a token, or the error that prevented sampling."""

    token_id: int = -1
    logprob: TokenLogprob | None = None
    error: str | None = None


def sample(logits: torch.Tensor, sequences: Seq[Sequence]) -> list[SampledToken]:
    """Sample the next token of each row of float32 `logits` [rows, vocab]. Changes `logits` in place.

    A row's result depends only on its own logits, tokens, parameters and seed, not on the other rows.
    """
    logprobs = model_logprobs(logits, sequences)
    errors = apply_constraints(logits, sequences)
    for row, sequence in enumerate(sequences):
        if changes_logits(sequence.request.params):
            penalize(logits[row], sequence)
    tokens = _choose_tokens(logits, sequences, errors)
    return [
        _result(token, sequence.request.params, logprobs.get(row), errors.get(row))
        for row, (sequence, token) in enumerate(zip(sequences, tokens, strict=True))
    ]


def apply_constraints(logits: torch.Tensor, sequences: Seq[Sequence]) -> Errors:
    """Set the logits of forbidden tokens to -inf, in place. `logits` is [rows, vocab], one row for each sequence.

    Returns the errors by row: a constraint that fails or allows no token is an error of its own row only.
    """
    errors: Errors = {}
    for row, sequence in enumerate(sequences):
        if sequence.constraint is None:
            continue
        try:
            forbidden = _forbidden(sequence.constraint, logits.shape[1])
        except Exception as error:  # no failure of a grammar may end the other requests
            _LOG.error("request %s is aborted: its grammar failed (%s)", sequence.id, type(error).__name__)
            errors[row] = CONSTRAINT_FAILED
            continue
        logits[row].masked_fill_(torch.from_numpy(forbidden).to(logits.device), float("-inf"))
    return errors


def _forbidden(constraint: Constraint, vocab_size: int) -> NDArray[np.bool_]:
    """bool [vocab], True for a forbidden token. Raises ValueError if the constraint allows no token."""
    mask = np.zeros(-(-vocab_size // 32), np.int32)
    constraint.fill_mask(mask)
    if not mask.any():
        raise ValueError("the constraint allows no token")
    # Inverting 32 tokens at a time is cheaper than inverting bools.
    return np.unpackbits((~mask).view(np.uint8), count=vocab_size, bitorder="little").view(np.bool_)


def _choose_tokens(logits: torch.Tensor, sequences: Seq[Sequence], errors: Errors) -> list[int]:
    """The token of each row. Adds an error for a row whose maximum is NaN or infinite."""
    tokens, maxima = _argmax(logits)
    for row, sequence in enumerate(sequences):
        if not isfinite(maxima[row]):
            errors.setdefault(row, NON_FINITE_LOGITS)
        elif sequence.request.params.temperature > 0 and row not in errors:
            tokens[row] = _sample_row(logits[row], maxima[row], sequence)
    return tokens


def _argmax(logits: torch.Tensor) -> tuple[list[int], list[float]]:
    """The token with the greatest logit of each row, and that logit; NaN if the row has a NaN."""
    if logits.device.type == "cpu":  # NumPy's argmax takes a sixth of the time of PyTorch's there
        array = logits.numpy()
        tokens = array.argmax(axis=-1)
        return tokens.tolist(), array[np.arange(len(array)), tokens].tolist()
    values, ids = logits.max(dim=-1)
    return ids.tolist(), values.tolist()


def _sample_row(logits: torch.Tensor, maximum: float, sequence: Sequence) -> int:
    """Sample from logits [vocab] with one uniform number of the answer's own generator."""
    cumulative, candidates = distribution(logits, maximum, sequence.request.params)
    return invert_cumulative(sequence.random.random(), cumulative, candidates)


def distribution(
    logits: torch.Tensor, maximum: float, params: SamplingParams
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The distribution of a row [vocab] whose greatest logit is `maximum`.

    Returns cumulative weights, not normalized, and the token ids they belong to; None stands for all tokens in order.
    """
    weights = ((logits - maximum) / max(params.temperature, MIN_TEMPERATURE)).exp_()  # the greatest is 1
    candidates: torch.Tensor | None = None
    if params.top_k or params.top_p < 1 or params.min_p:
        weights, candidates = _candidates(weights, params)
    return weights.cumsum(dim=-1, dtype=torch.float64), candidates


def invert_cumulative(probability: float, cumulative: torch.Tensor, candidates: torch.Tensor | None) -> int:
    """The token at which the cumulative distribution exceeds `probability`, 0 to 1. See `distribution`."""
    target = probability * float(cumulative[-1])
    # right=True: a token of zero probability is never chosen.
    index = int(torch.searchsorted(cumulative, target, right=True).clamp_(max=len(cumulative) - 1))
    return index if candidates is None else int(candidates[index])


def _candidates(weights: torch.Tensor, params: SamplingParams) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights, in descending order, and token ids that remain after min_p, top_k and top_p.

    The definitions are vLLM's. min_p: tokens with at least this share of the likeliest token's probability (Nguyen et
    al. 2024). top_k: the k likeliest tokens. top_p (Holtzman et al. 2019): the fewest tokens that reach this share of
    the probability that min_p and top_k leave. The likeliest token always remains.
    """
    total_weight = float(weights.sum(dtype=torch.float64))
    weights, ids = _top_k(weights, params) if params.top_k else _above_threshold(weights, total_weight, params)
    if params.min_p:
        count = max(1, int((weights >= params.min_p).sum()))
        weights, ids = weights[:count], ids[:count]
    if params.top_p == 1:
        return weights, ids
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    total = float(cumulative[-1]) if params.top_k or params.min_p else total_weight
    count = max(1, int((cumulative - weights < params.top_p * total).sum()))
    return weights[:count], ids[:count]


def _top_k(weights: torch.Tensor, params: SamplingParams) -> tuple[torch.Tensor, torch.Tensor]:
    values, ids = weights.topk(min(params.top_k, len(weights)))
    return values, ids


def _above_threshold(
    weights: torch.Tensor, total_weight: float, params: SamplingParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sorted weights and token ids, without tokens that min_p or top_p certainly removes.

    Sorting the whole vocabulary would take longer than all other work of the sampler.
    """
    # All tokens below this weight together have less weight than top_p removes.
    threshold = (1 - params.top_p) * total_weight / len(weights) * (1 - 1e-6)
    ids = (weights >= (params.min_p or threshold)).nonzero().squeeze(1)
    values, order = weights[ids].sort(descending=True)
    return values, ids[order]


def _result(token: int, params: SamplingParams, logprobs: torch.Tensor | None, error: str | None) -> SampledToken:
    if error is not None:
        return SampledToken(error=error)
    if logprobs is None:
        return SampledToken(token_id=token)
    return SampledToken(token_id=token, logprob=token_logprob(logprobs, token, params.logprobs or 0))


def penalize(row: torch.Tensor, sequence: Sequence) -> None:
    """Apply the request's bias and penalties to one row of logits [vocab], in place.

    The order is vLLM's. First the bias is added. Then the repetition penalty applies to the tokens of prompt and
    answer (Keskar et al. 2019, section 4.1; negative logits are multiplied instead of divided, as in Hugging Face).
    Then frequency and presence penalty apply to the tokens of the answer, as OpenAI defines them:
    logit -= frequency * count + presence * (count > 0).
    """
    params = sequence.request.params
    if params.logit_bias:
        _add_bias(row, params)
    if params.repetition_penalty != 1:
        _apply_repetition_penalty(row, _ids(sequence.token_ids, row), params.repetition_penalty)
    if params.frequency_penalty or params.presence_penalty:
        generated = _ids(sequence.token_ids[sequence.num_prompt_tokens :], row)
        row.scatter_add_(0, generated, row.new_full((1,), -params.frequency_penalty).expand(len(generated)))
        # A token that occurs twice is written twice, with the same value.
        row.scatter_(0, generated, row.gather(0, generated) - params.presence_penalty)


def changes_logits(params: SamplingParams) -> bool:
    """Whether `penalize` has an effect."""
    penalized = params.presence_penalty or params.frequency_penalty or params.repetition_penalty != 1
    return bool(penalized or params.logit_bias)


def _add_bias(row: torch.Tensor, params: SamplingParams) -> None:
    tokens, addends = zip(*params.logit_bias, strict=True)
    row.index_add_(0, _ids(tokens, row), torch.tensor(addends, dtype=row.dtype, device=row.device))


def _apply_repetition_penalty(row: torch.Tensor, ids: torch.Tensor, penalty: float) -> None:
    scores = row.gather(0, ids)
    row.scatter_(0, ids, torch.where(scores > 0, scores / penalty, scores * penalty))


def _ids(tokens: Seq[int], row: torch.Tensor) -> torch.Tensor:
    # NumPy converts a list of ints five times as fast as torch.tensor.
    return torch.from_numpy(np.array(tokens, dtype=np.int64)).to(row.device)


def model_logprobs(logits: torch.Tensor, sequences: Seq[Sequence]) -> RowLogprobs:
    """The natural log probabilities [vocab] of the model's own distribution, for each row whose request asks for them.

    Must be called before constraints and penalties change the logits.
    """
    return {
        row: logits[row].log_softmax(dim=-1)
        for row, sequence in enumerate(sequences)
        if sequence.request.params.logprobs is not None
    }


def token_logprob(logprobs: torch.Tensor, token: int, count: int) -> TokenLogprob:
    """The token's log probability, and the `count` likeliest tokens in descending order. `logprobs` is [vocab].

    The chosen token comes before tokens with an equal value, which bfloat16 logits often have: a greedy choice is
    then first in its list.
    """
    own = float(logprobs[token])
    values, ids = logprobs.topk(min(count, len(logprobs)))
    others = [(other, value) for other, value in zip(ids.tolist(), values.tolist(), strict=True) if other != token]
    above = sum(value > own for _, value in others)
    top = [*others[:above], (token, own), *others[above:]][: len(values)]
    return TokenLogprob(token_id=token, logprob=own, top=tuple(top))
