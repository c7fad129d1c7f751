"""Tokenizers of SentencePiece models of the BPE kind, from their pieces and scores."""

from collections.abc import Sequence

import tokenizers
from tokenizers import decoders, models, normalizers

SPACE = "\u2581"  # stands for a space within a piece


def sentence_piece(
    vocabulary: dict[str, int], merges: Sequence[tuple[str, str]], *, unknown: str | None, space_prefix: bool
) -> tokenizers.Tokenizer:
    """Text is not split before it is merged; characters that no piece holds become tokens of their bytes."""
    hf = tokenizers.Tokenizer(
        models.BPE(vocabulary, list(merges), unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    marks = normalizers.Replace(" ", SPACE)
    hf.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), marks]) if space_prefix else marks
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    hf.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if space_prefix else steps)
    return hf


def merges_by_score(scores: dict[str, float]) -> list[tuple[str, str]]:
    """The pairs that merge, first the ones that do first: SentencePiece makes the piece of the highest score.

    Among equal scores it goes from left to right. `scores` are those of pieces that are made by merging, and of
    the single characters.
    """
    ranked = sorted(scores, key=lambda piece: -scores[piece])
    return [
        (piece[:cut], piece[cut:])
        for piece in ranked
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
