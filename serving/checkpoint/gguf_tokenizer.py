"""Builds a tokenizer from a GGUF file's metadata."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from serving.checkpoint.gguf import GGUFFile
from serving.checkpoint.tokenizer import Tokenizer, merges_by_score, sentence_piece
from serving.core import ModelLoadError

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # values of tokenizer.ggml.token_type

# The regular expression in the tokenizer.json of Llama 3 and Qwen2: words, DIGITS digits, punctuation, spaces.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _gpt2() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _smollm() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _llama3() -> pre_tokenizers.PreTokenizer:
    return _split("{1,3}")


def _qwen2() -> pre_tokenizers.PreTokenizer:
    return _split("")


def _split(digits: str) -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(_SPLIT.replace("DIGITS", digits)), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


_PRE_TOKENIZERS = MappingProxyType(
    {
        "default": _gpt2,
        "gpt-2": _gpt2,
        "smollm": _smollm,
        "llama-bpe": _llama3,
        "llama3": _llama3,
        "qwen2": _qwen2,
    }
)


def gguf_tokenizer(file: GGUFFile) -> Tokenizer:
    """The tokenizer of a GGUF file: byte-level BPE ('gpt2') or SentencePiece ('llama').

    `ModelLoadError` for another kind and for corrupt metadata.
    """
    metadata = file.metadata
    kind, pre = str(metadata.get("tokenizer.ggml.model")), str(metadata.get("tokenizer.ggml.pre", "default"))
    if kind != "llama" and (kind != "gpt2" or pre not in _PRE_TOKENIZERS):
        raise ModelLoadError(
            f"{file.path}: tokenizer {kind!r} with pre-tokenizer {pre!r} is not supported, only 'llama', and 'gpt2' "
            f"with {', '.join(sorted(_PRE_TOKENIZERS))}; use the model as a directory with tokenizer.json."
        )
    try:
        hf = _sentence_piece(metadata) if kind == "llama" else _byte_pair_encoding(metadata, pre)
        _add_tokens(hf, metadata)
        if metadata.get("tokenizer.ggml.add_bos_token", kind == "llama"):
            hf.post_processor = _bos_processor(metadata)
    except Exception as error:  # the binding raises Exception itself
        raise ModelLoadError(f"{file.path}: the tokenizer is corrupt ({error}); fetch it again.") from error
    ends = ("eos_token_id", "eot_token_id", "eom_token_id")
    try:
        return Tokenizer(
            hf,
            eos_ids=[metadata[f"tokenizer.ggml.{key}"] for key in ends if f"tokenizer.ggml.{key}" in metadata],
            bos_id=metadata.get("tokenizer.ggml.bos_token_id"),
            chat_template=metadata.get("tokenizer.chat_template"),
        )
    except ModelLoadError as error:
        raise ModelLoadError(f"{file.path}: {error} Fetch it again.") from None


def _byte_pair_encoding(metadata: Mapping[str, Any], pre: str) -> tokenizers.Tokenizer:
    vocabulary = _vocabulary(metadata)
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    if invalid := [merge for merge in merges if "".join(merge) not in vocabulary]:
        raise ValueError(f"merge {invalid[0]} makes no token")  # the binding would panic
    hf = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre in ("llama-bpe", "llama3")))
    if pre == "qwen2":
        hf.normalizer = normalizers.NFC()
    hf.pre_tokenizer = _PRE_TOKENIZERS[pre]()
    hf.decoder = decoders.ByteLevel()
    return hf


def _sentence_piece(metadata: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """SentencePiece BPE. Control and user-defined tokens take no part in merges: they are split off before."""
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    scores = zip(tokens, metadata["tokenizer.ggml.scores"], metadata["tokenizer.ggml.token_type"], strict=True)
    merges = merges_by_score({token: score for token, score, kind in scores if kind == _NORMAL})
    return sentence_piece(
        _vocabulary(metadata),
        merges,
        unknown=tokens[metadata.get("tokenizer.ggml.unknown_token_id", 0)],
        space_prefix=metadata.get("tokenizer.ggml.add_space_prefix", True),
    )


def _vocabulary(metadata: Mapping[str, Any]) -> dict[str, int]:
    return {token: id_ for id_, token in enumerate(metadata["tokenizer.ggml.tokens"])}


def _add_tokens(hf: tokenizers.Tokenizer, metadata: Mapping[str, Any]) -> None:
    """Adds the control tokens, which are special, and the user-defined tokens. Both match a text literally."""
    kinds = zip(metadata["tokenizer.ggml.tokens"], metadata.get("tokenizer.ggml.token_type", []), strict=False)
    added = [
        AddedToken(token, special=kind == _CONTROL, normalized=False)
        for token, kind in kinds
        if kind in (_CONTROL, _USER_DEFINED)
    ]
    hf.add_special_tokens([token for token in added if token.special])
    hf.add_tokens([token for token in added if not token.special])


def _bos_processor(metadata: Mapping[str, Any]) -> processors.PostProcessor:
    """Adds the beginning-of-sequence token to every text."""
    bos_id = metadata["tokenizer.ggml.bos_token_id"]
    bos = metadata["tokenizer.ggml.tokens"][bos_id]
    return processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, bos_id)])
