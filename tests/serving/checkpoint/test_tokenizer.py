from functools import cache
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from serving.checkpoint.checkpoint import load_checkpoint
from serving.checkpoint.tokenizer import Tokenizer
from tests.serving.engine.test_decoding import TOKENIZER


@given(st.text(max_size=40))
def test_decode_undoes_encode(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_special_tokens_in_the_text_are_recognized() -> None:
    ids = TOKENIZER.encode("a<|im_end|>")
    assert ids[1:] == [256]
    assert TOKENIZER.decode(ids) == "a"
    assert TOKENIZER.decode(ids, skip_special=False) == "a<|im_end|>"


def test_a_token_can_be_a_part_of_a_character() -> None:
    first, second = TOKENIZER.encode("é")
    assert TOKENIZER.token_bytes(first) + TOKENIZER.token_bytes(second) == "é".encode()


def test_an_id_beyond_the_vocabulary_has_no_bytes() -> None:
    assert TOKENIZER.token_bytes(100_000) == b""


@pytest.fixture(scope="module")
def real(model_path: Path) -> Tokenizer:
    return load_checkpoint(model_path).tokenizer


@pytest.mark.model
def test_the_default_models_tokenizer(real: Tokenizer) -> None:
    assert real.vocab_size == 49152
    assert (real.bos_token, real.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert 2 in real.eos_ids
    assert real.chat_template is not None
    assert "<|im_start|>" in real.chat_template


@pytest.mark.model
def test_the_default_model_splits_digits(real: Tokenizer) -> None:
    assert [real.decode([i]) for i in real.encode("in 2024")] == ["in", " ", "2", "0", "2", "4"]
    assert real.encode("<|im_start|>user") == [1, 4093]


SPECIAL = ["<|im_end|>", "<|im_start|>", "<tool>", "a", " b", "é", "\n", "🙂", "<|im_", "end|>", "  "]


@given(st.lists(st.sampled_from(SPECIAL), max_size=12).map("".join))
def test_literal_text_has_the_ids_of_a_whole_copy_that_ignores_special_tokens(text: str) -> None:
    """The tokenizer for literal text has no vocabulary of its own: a real one takes tens of megabytes."""
    tokenizer = added_tokens_tokenizer()
    whole = tokenizers.Tokenizer.from_str(tokenizer.hf.to_str())
    whole.encode_special_tokens = True
    assert tokenizer.encode_literal(text) == whole.encode(text, add_special_tokens=False).ids


def test_the_vocabulary_is_in_memory_once() -> None:
    tokenizer = added_tokens_tokenizer.__wrapped__()
    tokenizer.hf.model.unk_token = "a"
    assert tokenizer._literal.model.unk_token == "a"


@cache
def added_tokens_tokenizer() -> Tokenizer:
    """Bytes, special tokens, and a token that is added but not special."""
    hf = tokenizers.Tokenizer.from_str(TOKENIZER.hf.to_str())
    hf.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    hf.add_tokens(["<tool>"])
    return Tokenizer(hf)
