from hypothesis import given
from hypothesis import strategies as st

from serving.engine.speculation import look_up


def test_what_followed_the_same_ending_is_proposed() -> None:
    assert look_up([1, 2, 3, 4, 5, 9, 1, 2], 3) == (3, 4, 5)


def test_the_longest_ending_wins_over_a_later_shorter_one() -> None:
    assert look_up([7, 1, 2, 8, 8, 1, 2, 9, 9, 7, 1, 2], 1) == (8,)


def test_of_equal_endings_the_latest_wins() -> None:
    assert look_up([1, 2, 5, 1, 2, 6, 1, 2], 1) == (6,)


def test_nothing_is_proposed_for_what_is_new() -> None:
    assert look_up([1, 2, 3, 4], 4) == ()
    assert look_up([1], 4) == ()
    assert look_up([1, 1, 1, 1], 0) == ()


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 6))
def test_a_proposal_followed_the_last_two_tokens_before(tokens: list[int], most: int) -> None:
    proposed = look_up(tokens, most)
    assert len(proposed) <= most
    text, ending = "".join(map(str, tokens)), "".join(map(str, tokens[-2:]))
    if proposed:
        assert ending + "".join(map(str, proposed)) in text
    elif most:
        assert ending not in text[:-1] or len(tokens) < 3
