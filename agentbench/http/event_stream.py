"""Parses server-sent events; each event has the time of the read that completed it."""

from collections.abc import Iterator

DONE = b"[DONE]"
"""The data of the event that ends a stream in OpenAI's API."""

MOST_EVENTS = 2**18
"""Most events of a stream; reading more would block everything else."""


class EndlessStream(ValueError):
    """A stream has more than `MOST_EVENTS` events."""

    def __init__(self) -> None:
        super().__init__(f"a stream of more than {MOST_EVENTS:,} events")


def events(pieces: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The data of each event and the time at which its last byte arrived. Raises `EndlessStream`."""
    for number, event in enumerate(_events(pieces)):
        if number >= MOST_EVENTS:
            raise EndlessStream
        yield event


def _events(pieces: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    data: list[bytes] = []
    rest: list[bytes] = []  # the incomplete last line
    for at, piece in pieces:
        *lines, last = piece.split(b"\n")
        for part in lines:
            line = b"".join([*rest, part]).removesuffix(b"\r")
            rest.clear()
            if line.startswith(b"data:"):
                data.append(line[5:].lstrip())
            elif not line and data:
                yield at, b"\n".join(data)
                data.clear()
        if last:
            rest.append(last)
