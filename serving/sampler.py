"""Choosing the next tokens from logits: constraint masks, greedy, and seeded sampling."""

from collections.abc import Sequence as Seq

import numpy as np
import torch

from serving.sequence import Sequence

# How many of the likeliest tokens are sorted when top_p is set; all are when their mass falls short of it.
_SORTED_FIRST = 512


def constrain(logits: torch.Tensor, sequences: Seq[Sequence]) -> dict[str, str]:
    """Rule out, in place, what each row's constraint forbids. A row of `logits` [rows, vocab] each.

    A constraint that fails, or allows nothing, is an error of its request alone: messages by request id.
    """
    errors: dict[str, str] = {}
    for row, sequence in zip(logits, sequences, strict=True):
        if sequence.request.constraint is None:
            continue
        try:
            allowed = _allowed(sequence, row.shape[0])
        except Exception as error:  # a grammar engine's failure must not end the other requests
            errors[sequence.id] = f"the output constraint failed: {error}"
            continue
        row.masked_fill_(~allowed.to(row.device), float("-inf"))
    return errors


def _allowed(sequence: Sequence, vocab_size: int) -> torch.Tensor:
    """bool [vocab]"""
    assert sequence.request.constraint is not None
    mask = np.zeros(-(-vocab_size // 32), np.int32)
    sequence.request.constraint.fill_mask(mask)
    if not mask.any():
        raise ValueError("it allows no token")
    bits = np.unpackbits(mask.view(np.uint8), count=vocab_size, bitorder="little")
    return torch.from_numpy(bits.view(np.bool_))


def sample(logits: torch.Tensor, sequences: Seq[Sequence]) -> list[int]:
    """The next token of each row of float32 `logits` [rows, vocab].

    What a row gets depends on its logits, parameters and seed only, not on the other rows.
    """
    tokens = logits.argmax(dim=-1).tolist()
    random = [row for row, sequence in enumerate(sequences) if sequence.request.params.temperature > 0]
    for row, token in zip(random, _sample_random(logits, sequences, random), strict=True):
        tokens[row] = token
    return list(tokens)


def _sample_random(logits: torch.Tensor, sequences: Seq[Sequence], rows: Seq[int]) -> list[int]:
    return [_sample_row(logits[row], sequences[row]) for row in rows]


def _sample_row(logits: torch.Tensor, sequence: Sequence) -> int:
    """By inverting the cumulative distribution at one uniform draw of the request's own generator."""
    params = sequence.request.params
    probabilities = (logits / params.temperature).softmax(dim=-1)
    candidates: torch.Tensor | None = None
    if params.top_k or params.top_p < 1:
        probabilities, candidates = _likeliest(probabilities, params.top_k, params.top_p)
    cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
    target = sequence.random.random() * float(cumulative[-1])
    # right=True: a token of zero probability is never chosen.
    index = int(torch.searchsorted(cumulative, target, right=True).clamp_(max=len(cumulative) - 1))
    return index if candidates is None else int(candidates[index])


def _likeliest(probabilities: torch.Tensor, top_k: int, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities, falling, and ids of the `top_k` likeliest, of these the fewest that reach `top_p`.

    top_p is a share of what top_k leaves, as Hugging Face and vLLM take it.
    """
    size = len(probabilities)
    count = min(top_k or _SORTED_FIRST, size)
    values, ids = probabilities.topk(count)
    if not top_k and float(values.sum()) < top_p:
        values, ids = probabilities.sort(descending=True)
    cumulative = values.cumsum(dim=-1, dtype=torch.float64)
    mass = float(cumulative[-1]) if top_k else 1.0
    keep = int((cumulative - values < top_p * mass).sum())
    return values[: max(keep, 1)], ids[: max(keep, 1)]
