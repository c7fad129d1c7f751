from serving.http.pace import MOST_S, Pace


def pace(*ends: float) -> Pace:
    result = Pace()
    for at in ends:
        result.ended(at)
    return result


def test_a_place_is_free_when_the_next_request_ends() -> None:
    assert pace(10, 13, 16).retry_after_s(16) == 3
    assert pace(10, 10.1, 10.2).retry_after_s(10.2) == 1


def test_a_server_that_has_stalled_since_says_so() -> None:
    assert pace(10, 11).retry_after_s(31) == 21
    assert pace(10, 11).retry_after_s(10_000) == MOST_S


def test_it_does_not_guess_from_one_end() -> None:
    assert pace().retry_after_s(5) == 1
    assert pace(1).retry_after_s(500) == 1
