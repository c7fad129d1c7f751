"""Log probabilities of chosen tokens and of their alternatives."""

from collections.abc import Mapping
from collections.abc import Sequence as Seq

import torch

from serving.request import TokenLogprob
from serving.sequence import Sequence

Rows = Mapping[int, torch.Tensor]


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
