"""The event stream a client gets: what it would have had from the server, however the bytes came."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.gateway.usage_filter import UsageFilter

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def event(**content: Any) -> bytes:
    return b"data: " + json.dumps({"id": "x", **content}, ensure_ascii=False).encode() + b"\n\n"


def choice(text: str, finish_reason: str | None = None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]


COUNTED = event(choices=choice("h\u00e9"), usage=USAGE) + event(choices=choice("", "stop"), usage=USAGE)
STREAM = b": hello\n\n" + COUNTED + event(choices=[], usage=USAGE) + b"data: [DONE]\n\n"
BARE = b": hello\n\n" + event(choices=choice("h\u00e9")) + event(choices=choice("", "stop")) + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (None, BARE),
        ({"include_usage": False}, BARE),
        ("nonsense", BARE),
        (
            {"include_usage": True},
            STREAM.replace(COUNTED, event(choices=choice("h\u00e9")) + COUNTED.split(b"\n\n")[1] + b"\n\n"),
        ),
        ({"include_usage": True, "continuous_usage_stats": True}, STREAM),
    ],
)
@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_counts_are_there_where_they_were_asked_for(options: Any, wanted: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    outgoing = UsageFilter({"stream_options": options})
    taken = (outgoing.take(STREAM[start:end]) for start, end in pairwise(places))
    assert b"".join(taken) == wanted


@given(st.lists(st.binary(max_size=40)))
def test_what_is_no_event_of_openai_s_goes_out_as_it_came(pieces: list[bytes]) -> None:
    outgoing = UsageFilter({})
    taken = b"".join(outgoing.take(piece) for piece in pieces)
    assert (taken + outgoing.rest).replace(b"\r\n", b"\n") == b"".join(pieces).replace(b"\r\n", b"\n")


def test_what_says_usage_and_is_no_chunk_is_left_alone() -> None:
    for data in (b'data: {"usage"\n\n', b'data: ["usage"]\n\n'):
        assert UsageFilter({}).take(data) == data
