"""The message in an error's body."""

import pytest

from agentbench.http.exchange import refusal, retry_after_s


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "too\\n long", "code": 1}}', "too long"),
        (b'{"error": "no"}', "no"),
        (b'{"detail": "no"}', "{'detail': 'no'}"),
        (b"<h1>no</h1>", "<h1>no</h1>"),
        (b"\xff", "�"),
        (b"", ""),
    ],
)
def test_the_message_or_what_there_is_of_it(body: bytes, message: str) -> None:
    assert refusal(body) == message


def test_the_wait_that_a_server_asks_for() -> None:
    assert retry_after_s({}) is None
    assert retry_after_s({"retry-after": "2.5"}) == 2.5
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert (retry_after_s({"retry-after": "Wed, 21 Oct 2955 07:28:00 GMT"}) or 0) > 1e9
    assert retry_after_s({"retry-after": "soon"}) is None
