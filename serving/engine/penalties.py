"""What a request adds to or takes from the model's logits before a token is chosen."""

from collections.abc import Sequence as Seq

import numpy as np
import torch

from serving.request import SamplingParams
from serving.sequence import Sequence


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
