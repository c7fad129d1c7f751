"""Tokenizers built from GGUF metadata encode text as the models' original tokenizers do."""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, trainers
from tokenizers.pre_tokenizers import ByteLevel

from serving.checkpoint.gguf import GGUFFile
from serving.checkpoint.gguf_tokenizer import gguf_tokenizer
from serving.checkpoint.tokenizer import Tokenizer
from serving.core import ModelLoadError
from serving.engine.decoding import Detokenizer
from tests.serving.checkpoint.gguf_models import write

NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6
SPACE = "\u2581"
CORPUS = [
    "the theory of the thing, that then they think",
    "a banana aaaa and an ananas aaaaaaaa",
    "def area(width, height):\n    return width * height\n\n\n12345 67",
    "Žluťoučký kůň, naïve café — über alles, 日本語 日本 日",
    "I'll don't we've THE'S <h1>head</h1>  double  spaces",
]
texts = st.text(max_size=40) | st.text("aenth T'. \n\t1209<h1>/日本é\u0301ű🙂", max_size=40)
few = settings(max_examples=300, deadline=None)


def load(path: Path, kind: str, tokens: Sequence[str], types: Sequence[int], **fields: Any) -> Tokenizer:
    """The tokenizer of a file with these fields only; each key names a method of the writer."""
    writer = gguf.GGUFWriter(path, "llama")
    for key in ("context_length", "embedding_length", "block_count", "feed_forward_length", "head_count", "key_length"):
        getattr(writer, f"add_{key}")(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(kind)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for name, value in fields.items():
        getattr(writer, f"add_{name}")(value)
    write(writer)
    return gguf_tokenizer(GGUFFile(path))


def trained(corpus: list[str], alphabet: list[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A BPE vocabulary with merges and without a pre-tokenizer."""
    hf = tokenizers.Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    hf.train_from_iterator(corpus, trainer)
    model = json.loads(hf.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


@pytest.fixture(scope="module")
def qwen_parts() -> tuple[dict[str, int], list[tuple[str, str]]]:
    spelled = ["".join(piece for piece, _ in ByteLevel(False).pre_tokenize_str(text)) for text in CORPUS]
    return trained(spelled, sorted(ByteLevel.alphabet()), 400)


@pytest.fixture(scope="module")
def qwen(
    qwen_parts: tuple[dict[str, int], list[tuple[str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> Tokenizer:
    vocabulary, merges = qwen_parts
    tokens = [*sorted(vocabulary, key=lambda token: vocabulary[token]), "<|endoftext|>", "<|im_end|>"]
    return load(
        tmp_path_factory.mktemp("qwen2") / "m.gguf",
        "gpt2",
        tokens,
        [NORMAL] * len(vocabulary) + [CONTROL] * 2,
        tokenizer_pre="qwen2",
        token_merges=[" ".join(merge) for merge in merges],
        eos_token_id=len(vocabulary) + 1,
    )


@few
@given(text=texts)
def test_text_is_split_as_by_transformers(
    text: str, qwen: Tokenizer, qwen_parts: tuple[dict[str, int], list[tuple[str, str]]], transformers: Any
) -> None:
    theirs = transformers.Qwen2Tokenizer(vocab=dict(qwen_parts[0]), merges=qwen_parts[1])
    assert qwen.encode(text) == theirs.encode(text)


def test_the_end_of_a_turn_ends_an_answer(qwen: Tokenizer) -> None:
    (end,) = qwen.encode("<|im_end|>")
    assert end in qwen.eos_ids
    assert qwen.encode("a", add_special=True) == qwen.encode("a"), "there is no beginning"


SPM_USER = ("  ", "   ", "\n", "\n\n", "<h1>")
SPM_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")


@pytest.fixture(scope="module")
def scores() -> dict[str, float]:
    """The merged pieces in order of priority, then the single characters."""
    plain = [text.replace(" ", SPACE).replace("\n", "") for text in CORPUS]
    vocabulary, merges = trained(plain, [SPACE], 300)
    pieces = list(dict.fromkeys("".join(merge) for merge in merges))
    return {piece: -float(i) for i, piece in enumerate([*pieces, *sorted(set(vocabulary) - set(pieces))])}


@pytest.fixture(scope="module")
def tokens(scores: dict[str, float]) -> list[str]:
    return [*SPM_SPECIAL, *SPM_USER, *(f"<0x{byte:02X}>" for byte in range(256)), *scores]


@pytest.fixture(scope="module")
def spm(scores: dict[str, float], tokens: list[str], tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_pieces(tmp_path_factory.mktemp("spm") / "m.gguf", scores, tokens, add_space_prefix=False)


def load_pieces(path: Path, scores: dict[str, float], tokens: list[str], **fields: Any) -> Tokenizer:
    special, user = len(SPM_SPECIAL), len(SPM_USER)
    return load(
        path,
        "llama",
        tokens,
        [CONTROL] * special + [USER_DEFINED] * user + [BYTE] * 256 + [NORMAL] * len(scores),
        token_scores=[-1000.0] * (special + user) + [0.0] * 256 + list(scores.values()),
        bos_token_id=2,
        eos_token_id=1,
        unk_token_id=3,
        **fields,
    )


@few
@given(text=texts.filter(lambda text: SPACE not in text))
def test_the_best_pair_is_merged_until_there_is_none(
    text: str, spm: Tokenizer, scores: dict[str, float], tokens: list[str]
) -> None:
    assert [tokens[id_] for id_ in spm.encode(text)] == sentence_pieces(text, scores, SPM_USER)


@few
@given(text=texts.filter(lambda text: SPACE not in text))
def test_decoding_restores_the_text(text: str, spm: Tokenizer) -> None:
    ids = spm.encode(text)
    assert spm.decode(ids) == text
    detokenizer = Detokenizer(spm)
    assert "".join(map(detokenizer.push, ids)) + detokenizer.flush() == text
    assert spm.hf.decode(ids) == text


def test_characters_without_a_piece_become_byte_tokens(spm: Tokenizer, tokens: list[str]) -> None:
    ids = spm.encode("☃")
    assert [tokens[id_] for id_ in ids] == ["<0xE2>", "<0x98>", "<0x83>"]
    assert b"".join(map(spm.token_bytes, ids)) == "☃".encode()


def test_the_beginning_of_sequence_is_added_on_request(spm: Tokenizer) -> None:
    assert spm.encode("the", add_special=True) == [2, *spm.encode("the")]
    assert spm.bos_token == "<bos>"
    assert spm.eos_ids == {1}
    assert spm.encode("<eos>") == [1]


def test_some_models_prepend_a_space(scores: dict[str, float], tokens: list[str], tmp_path: Path) -> None:
    spm = load_pieces(tmp_path / "m.gguf", scores, tokens)
    assert [tokens[id_] for id_ in spm.encode("the")] == sentence_pieces(" the", scores, SPM_USER)
    assert spm.hf.decode(spm.encode("the")) == "the"


def sentence_pieces(text: str, scores: dict[str, float], user_tokens: Sequence[str]) -> list[str]:
    """The algorithm of SentencePiece's paper; user-defined tokens are split off first, the longest first."""
    apart = "|".join(sorted(map(re.escape, user_tokens), key=len, reverse=True))
    pieces: list[str] = []
    for part in re.split(f"({apart})", text):
        pieces += [part] if part in user_tokens else merged(list(part.replace(" ", SPACE)), scores)
    return pieces


def merged(symbols: list[str], scores: dict[str, float]) -> list[str]:
    while True:
        pairs = [(scores.get(a + b), -i) for i, (a, b) in enumerate(pairwise(symbols))]
        best = max(((score, at) for score, at in pairs if score is not None), default=None)
        if best is None:
            break
        at = -best[1]
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    return [piece for s in symbols for piece in ([s] if s in scores else [f"<0x{b:02X}>" for b in s.encode()])]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokenizer_pre": "martian", "token_merges": ["a b"]}, "'gpt2' with pre-tokenizer 'martian' is not supported"),
        ({"token_merges": ["a x"]}, r"corrupt \(merge \('a', 'x'\) makes no token\)"),
        ({"token_merges": ["ab"]}, "corrupt"),
        ({}, r"corrupt \('tokenizer.ggml.merges'\)"),
    ],
)
def test_invalid_metadata_are_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=message):
        load(tmp_path / "m.gguf", "gpt2", ["a", "b", "ab"], [NORMAL] * 3, **fields)


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"tokenizer 't5' .* not supported, only 'llama', and 'gpt2' with"):
        load(tmp_path / "m.gguf", "t5", ["a"], [NORMAL])
