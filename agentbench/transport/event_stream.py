"""Server-sent events, each with the time of the read that ended it."""

from collections.abc import Iterator

DONE = b"[DONE]"
"""The data of the event that ends a stream in OpenAI's API."""


def events(pieces: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The data of each event and the time at which its last byte had come."""
    rest = b""
    for at, piece in pieces:
        whole, _, rest = (rest + piece).replace(b"\r\n", b"\n").rpartition(b"\n\n")
        for event in whole.split(b"\n\n"):
            lines = [line[5:].lstrip() for line in event.split(b"\n") if line.startswith(b"data:")]
            if lines:
                yield at, b"\n".join(lines)
