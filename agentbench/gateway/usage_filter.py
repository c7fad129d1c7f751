"""Rewrites an event stream for the client: token counts only on request, tool calls numbered as OpenAI numbers them."""

import json
from collections.abc import Mapping
from typing import Any

from agentbench.openai_stream import ToolCalls, delta_of

END = b"\n\n"


class UsageFilter:
    """Takes the server's bytes as they arrive, and returns the bytes for the client.

    The run's backend asks the server for token counts, in every chunk where possible. A client that did not ask for
    them might add the counts up, or fail at the chunk without choices. It therefore gets the stream that the server
    would have sent without that request. Wrong indices of tool calls are corrected, so that the client sees the calls
    that are recorded. `rest` is the incomplete last event.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        sent = body.get("stream_options")
        options = sent if isinstance(sent, dict) else {}
        self._usage = bool(options.get("include_usage"))
        self._as_it_is = self._usage and bool(options.get("continuous_usage_stats"))
        self._calls = ToolCalls()
        self._waiting: list[bytes] = []
        self._tail = b""

    @property
    def rest(self) -> bytes:
        return b"".join(self._waiting)

    def take(self, piece: bytes) -> bytes:
        """The bytes that can be sent now; an incomplete event is held until its end arrives."""
        self._waiting.append(piece)
        ending = self._tail + piece
        self._tail = ending[-3:]
        if END not in ending and b"\n\r\n" not in ending:
            return b""
        complete, end, rest = self.rest.replace(b"\r\n", b"\n").rpartition(END)
        self._waiting = [rest]
        return b"".join(map(self._event, complete.split(END))) if end else b""

    def _event(self, event: bytes) -> bytes:
        if b'"usage"' not in event and b'"tool_calls"' not in event:
            return event + END
        try:
            chunk = json.loads(event.removeprefix(b"data:"))
            is_changed = self._number(chunk)
        # An event that is no chunk is sent unchanged.
        except (ValueError, TypeError, AttributeError, RecursionError):
            return event + END
        if not self._keeps_usage(chunk):
            if not chunk.get("choices"):
                return b""
            chunk.pop("usage", None)
            is_changed = True
        return _encoded(chunk) if is_changed else event + END

    def _keeps_usage(self, chunk: Mapping[str, Any]) -> bool:
        return "usage" not in chunk or self._as_it_is or (self._usage and _is_last(chunk))

    def _number(self, chunk: Mapping[str, Any]) -> bool:
        """Corrects the calls' indices in the chunk; returns whether that changed anything."""
        is_changed = False
        for choice in chunk.get("choices") or ():
            delta = delta_of(choice)
            if sent := delta.get("tool_calls"):
                numbered = self._calls.add(sent)
                is_changed = is_changed or numbered != sent
                delta["tool_calls"] = numbered
        return is_changed


def _encoded(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode("utf-8", "surrogatepass") + END


def _is_last(chunk: Mapping[str, Any]) -> bool:
    """Whether the chunk is the last with tokens, so that its counts cover the whole answer."""
    choices = chunk.get("choices") or ()
    return all(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)
