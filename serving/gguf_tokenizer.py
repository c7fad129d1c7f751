"""The tokenizer in a GGUF file's metadata."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors

from serving.gguf_file import GGUFFile
from serving.tokenizer import Tokenizer
from serving.weights import ModelLoadError

_CONTROL, _USER_DEFINED = 3, 4  # values of tokenizer.ggml.token_type

_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _gpt2() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _smollm() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _llama3() -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(_LLAMA3_SPLIT), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


_PRE_TOKENIZERS = MappingProxyType(
    {"default": _gpt2, "gpt-2": _gpt2, "smollm": _smollm, "llama-bpe": _llama3, "llama3": _llama3}
)


def gguf_tokenizer(file: GGUFFile) -> Tokenizer:
    """Byte-level BPE from the vocabulary and merges; `ModelLoadError` for another kind."""
    metadata = file.metadata
    kind, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2" or pre not in _PRE_TOKENIZERS:
        raise ModelLoadError(
            f"{file.path}: tokenizer {kind!r} with pre-tokenizer {pre!r} is not supported, only 'gpt2' with "
            f"{', '.join(sorted(_PRE_TOKENIZERS))}; use the model as a directory with tokenizer.json."
        )
    try:
        hf = _byte_pair_encoding(metadata, pre)
    except Exception as error:  # the binding raises Exception itself
        raise ModelLoadError(f"{file.path}: the tokenizer is corrupt ({error}); fetch it again.") from error
    ends = ("eos_token_id", "eot_token_id", "eom_token_id")
    return Tokenizer(
        hf,
        eos_ids=[metadata[f"tokenizer.ggml.{key}"] for key in ends if f"tokenizer.ggml.{key}" in metadata],
        bos_id=metadata.get("tokenizer.ggml.bos_token_id"),
        chat_template=metadata.get("tokenizer.chat_template"),
    )


def _byte_pair_encoding(metadata: Mapping[str, Any], pre: str) -> tokenizers.Tokenizer:
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: id_ for id_, token in enumerate(tokens)}
    hf = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre in ("llama-bpe", "llama3")))
    hf.pre_tokenizer = _PRE_TOKENIZERS[pre]()
    hf.decoder = decoders.ByteLevel()
    types = metadata.get("tokenizer.ggml.token_type", [])
    hf.add_special_tokens(_tokens_of_type(tokens, types, _CONTROL))
    hf.add_tokens(_tokens_of_type(tokens, types, _USER_DEFINED))
    if metadata.get("tokenizer.ggml.add_bos_token"):
        bos_id = metadata["tokenizer.ggml.bos_token_id"]
        bos = tokens[bos_id]
        hf.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, bos_id)]
        )
    return hf


def _tokens_of_type(tokens: list[str], types: list[int], wanted: int) -> list[AddedToken]:
    special = wanted == _CONTROL
    return [
        AddedToken(token, special=special, normalized=False)
        for token, kind in zip(tokens, types, strict=False)
        if kind == wanted
    ]
