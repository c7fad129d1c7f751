"""The event stream as whoever asked wants it: token counts where it asked for them, tool calls as OpenAI has them."""

import json
from collections.abc import Mapping
from typing import Any

from agentbench.openai_stream import ToolCalls, said_in

END = b"\n\n"


class UsageFilter:
    """Takes the server's bytes as they come and gives those to send on.

    The run's backend has the server count tokens, if it can in every chunk. A client that did not ask for that may add
    the counts up, or look for a choice in the chunk that has none; it gets what the server would have sent to it. Tool
    calls of a server that numbers them wrongly are numbered: the client has to see the calls that are recorded.
    `rest` is the event that is not whole yet.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        options = body.get("stream_options")
        asked = options if isinstance(options, dict) else {}
        self._usage = bool(asked.get("include_usage"))
        self._as_it_is = self._usage and bool(asked.get("continuous_usage_stats"))
        self._calls = ToolCalls()
        self._waiting: list[bytes] = []
        self._tail = b""

    @property
    def rest(self) -> bytes:
        return b"".join(self._waiting)

    def take(self, piece: bytes) -> bytes:
        """What can go out now; an event that is not whole yet waits for its end."""
        self._waiting.append(piece)
        ending = self._tail + piece
        self._tail = ending[-3:]
        if END not in ending and b"\n\r\n" not in ending:
            return b""
        whole, end, rest = self.rest.replace(b"\r\n", b"\n").rpartition(END)
        self._waiting = [rest]
        return b"".join(map(self._event, whole.split(END))) if end else b""

    def _event(self, event: bytes) -> bytes:
        if b'"usage"' not in event and b'"tool_calls"' not in event:
            return event + END
        try:
            chunk = json.loads(event.removeprefix(b"data:"))
            is_changed = self._number(chunk)
        # What is no chunk goes out as it came.
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
        """Puts the calls at their places; whether that changed anything."""
        is_changed = False
        for choice in chunk.get("choices") or ():
            delta = said_in(choice)
            if sent := delta.get("tool_calls"):
                numbered = self._calls.add(sent)
                is_changed = is_changed or numbered != sent
                delta["tool_calls"] = numbered
        return is_changed


def _encoded(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode("utf-8", "surrogatepass") + END


def _is_last(chunk: Mapping[str, Any]) -> bool:
    """Whether no more tokens come after it: its counts are the whole answer's."""
    choices = chunk.get("choices") or ()
    return all(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)
