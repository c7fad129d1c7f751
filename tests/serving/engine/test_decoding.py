"""Detokenization, stop strings and prompt lookup."""

from collections.abc import Sequence

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from serving.checkpoint.tokenizer import Tokenizer
from serving.engine.decoding import Detokenizer, StopStrings, propose_drafts


def byte_tokenizer() -> Tokenizer:
    """A tokenizer with one token for each byte, so every character beyond ASCII has several tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    hf = tokenizers.Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    hf.add_special_tokens(["<|im_end|>"])
    return Tokenizer(hf)


TOKENIZER = byte_tokenizer()


@given(st.text(max_size=30))
def test_the_pieces_join_to_the_text(text: str) -> None:
    detokenizer = Detokenizer(TOKENIZER)
    pieces = [detokenizer.push(token) for token in TOKENIZER.encode(text)]
    assert "".join(pieces) == text, "without stop strings nothing is left for the flush"
    assert detokenizer.flush() == ""


@given(st.lists(st.sampled_from(["a", "<", "<c", "all>", "call>", "S"]), max_size=12))
def test_no_stop_string_applies_after_the_until_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    found, opening = text.find("S"), text.find("<call>")
    stops = StopStrings(["S"], until="<call>")
    shown = "".join(stops.push(piece) for piece in pieces) + stops.flush()
    ends = found >= 0 and not 0 <= opening < found
    assert stops.found is ends
    assert shown == (text[:found] if ends else text)


@given(st.lists(st.integers(0, 256), max_size=40))
def test_any_ids_equal_decode(ids: list[int]) -> None:
    detokenizer = Detokenizer(TOKENIZER)
    text = "".join(detokenizer.push(token) for token in ids) + detokenizer.flush()
    assert text == TOKENIZER.decode(ids)
    assert text == TOKENIZER.hf.decode(ids, skip_special_tokens=True)


def test_an_incomplete_character_is_held_back() -> None:
    detokenizer = Detokenizer(TOKENIZER)
    pieces = [detokenizer.push(token) for token in TOKENIZER.encode("é!")]
    assert pieces == ["", "é", "!"]


def test_an_incomplete_character_at_the_end_is_replaced() -> None:
    detokenizer = Detokenizer(TOKENIZER)
    assert detokenizer.push(TOKENIZER.encode("é")[0]) == ""
    assert detokenizer.flush() == "\ufffd"


def first_complete(text: str, stops: Sequence[str]) -> str:
    """The text before the first complete stop string, by checking every prefix."""
    for end in range(len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


@given(
    st.lists(st.text("abc", max_size=6), max_size=12),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_stop_strings_at_any_split(pieces: list[str], stops: list[str]) -> None:
    matcher = StopStrings(stops)
    text = ""
    for piece in pieces:
        text += matcher.push(piece)
    text += matcher.flush()
    whole = "".join(pieces)
    assert text == first_complete(whole, stops)
    assert matcher.found == any(stop in whole for stop in stops)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["one\n", "\ntwo"], ["one", "", ""]),
        (["one\n", "two"], ["one", "\ntwo", ""]),
        (["one\n"], ["one", "\n"]),
    ],
)
def test_the_beginning_of_a_stop_string_is_held_back(pieces: list[str], expected: list[str]) -> None:
    matcher = StopStrings(["\n\n"])
    assert [*(matcher.push(piece) for piece in pieces), matcher.flush()] == expected


def test_the_tokens_after_an_earlier_occurrence_are_proposed() -> None:
    assert propose_drafts([1, 2, 3, 4, 5, 9, 1, 2], 3) == (3, 4, 5)


def test_the_longest_ending_wins_over_a_later_shorter_one() -> None:
    assert propose_drafts([7, 1, 2, 8, 8, 1, 2, 9, 9, 7, 1, 2], 1) == (8,)


def test_of_equal_endings_the_latest_wins() -> None:
    assert propose_drafts([1, 2, 5, 1, 2, 6, 1, 2], 1) == (6,)


def test_nothing_is_proposed_without_an_earlier_occurrence() -> None:
    assert propose_drafts([1, 2, 3, 4], 4) == ()
    assert propose_drafts([1], 4) == ()
    assert propose_drafts([1, 1, 1, 1], 0) == ()


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 6))
def test_a_proposal_has_followed_the_last_two_tokens_before(tokens: list[int], most: int) -> None:
    proposed = propose_drafts(tokens, most)
    assert len(proposed) <= most
    text, ending = "".join(map(str, tokens)), "".join(map(str, tokens[-2:]))
    if proposed:
        assert ending + "".join(map(str, proposed)) in text
    elif most:
        assert ending not in text[:-1] or len(tokens) < 3
