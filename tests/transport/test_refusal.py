"""The message in an error's body."""

import pytest

from agentbench.transport.refusal import refusal


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
