"""Framing of responses, in whatever pieces they come."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.http import wire
from agentbench.http.wire import HttpReply, MalformedReply


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def fed(data: bytes, cuts: list[int]) -> HttpReply:
    reply = HttpReply()
    for at, part in enumerate(split(data, cuts), 1):
        assert not reply.complete
        reply.feed(at, part)
    return reply


def body(reply: HttpReply) -> bytes:
    return b"".join(piece for _, piece in reply.pieces)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 999), max_size=12))
def test_chunked_bodies_in_any_pieces(chunks: list[bytes], cuts: list[int]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    framed = b"".join(b"%x;x=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    reply = fed(head + framed + b"0\r\nTrailer: x\r\n\r\n", cuts)
    assert (reply.complete, reply.status, reply.keep_alive) == (True, 200, True)
    assert body(reply) == b"".join(chunks)


@given(st.binary(max_size=60), st.lists(st.integers(0, 999), max_size=6))
def test_bodies_of_a_given_length(content: bytes, cuts: list[int]) -> None:
    reply = fed(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(content) + content, cuts)
    assert (reply.complete, reply.status, body(reply)) == (True, 400, content)


def test_a_body_without_framing_ends_with_the_connection() -> None:
    reply = fed(b"HTTP/1.0 200 OK\r\n\r\nabc", [])
    assert not reply.complete
    reply.end()
    assert (reply.complete, body(reply), reply.keep_alive) == (True, b"abc", False)


def test_a_chunked_body_that_is_cut_off_is_not_complete() -> None:
    reply = fed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", [])
    reply.end()
    assert not reply.complete


def test_an_interim_response_is_passed_over() -> None:
    reply = fed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\nConnection: close\r\n\r\n", [10])
    assert (reply.complete, reply.status, reply.keep_alive) == (True, 204, False)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 9000,
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 2\xb20 OK\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told(data: bytes) -> None:
    with pytest.raises(MalformedReply):
        HttpReply().feed(1, data)


def test_interim_responses_in_any_number_are_passed_over() -> None:
    reply = fed(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + b"HTTP/1.1 204 None\r\n\r\n", [])
    assert reply.status == 204


def flood(reply: HttpReply) -> None:
    for at in range(5, 50):
        reply.feed(at, b"4\r\nabcd\r\n")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
@pytest.mark.parametrize(("limit", "most"), [("BODY_LIMIT", 100), ("READS_LIMIT", 3)])
def test_a_body_without_end_is_broken_off(head: bytes, limit: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, limit, most)
    reply = HttpReply()
    reply.feed(1, head)
    for at in range(2, 5):
        reply.feed(at, b"4\r\nabcd\r\n")
    with pytest.raises(MalformedReply, match="no end after"):
        flood(reply)


def test_the_chunks_of_one_read_are_one_piece() -> None:
    reply = fed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1000, [])
    assert reply.pieces == [(1, b"x" * 1000)]
