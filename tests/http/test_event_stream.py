"""Events in whatever pieces they come."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.http import event_stream
from agentbench.http.event_stream import EndlessStream, events


@given(st.lists(st.integers(1, 200), max_size=10), st.booleans())
def test_events_in_any_pieces_and_with_either_line_end(cuts: list[int], crlf: bool) -> None:
    whole = b": comment\n\n" + b"".join(b"data: %d\n\n" % n for n in range(5))
    whole = whole.replace(b"\n", b"\r\n") if crlf else whole
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    pieces = [(b, whole[a:b]) for a, b in itertools.pairwise(places)]
    found = list(events(pieces))
    assert [data for _, data in found] == [b"0", b"1", b"2", b"3", b"4"]
    assert [at for at, _ in found] == sorted(at for at, _ in found)


def test_an_event_came_when_its_last_byte_did() -> None:
    pieces = [(1, b"data: a\n\nda"), (2, b"ta: b"), (3, b"\n\ndata: c\n"), (4, b"\n")]
    assert list(events(pieces)) == [(1, b"a"), (3, b"b"), (4, b"c")]


def test_a_line_without_end_costs_no_more_than_its_bytes() -> None:
    assert list(events([(at, b"x" * 1000) for at in range(20_000)])) == []


def test_events_without_end_are_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_EVENTS", 3)
    stream = [(1, b"data: a\n\n" * 3)]
    assert len(list(events(stream))) == 3
    with pytest.raises(EndlessStream, match="more than 3 events"):
        list(events([*stream, (2, b"data: a\n\n")]))
