"""The event stream as whoever asked wants it: token counts only where it asked for them."""

import json
from collections.abc import Mapping
from typing import Any

END = b"\n\n"


class Outgoing:
    """Takes the server's bytes as they come and gives those to send on.

    The run's backend has the server count tokens, if it can in every chunk. A client that did not ask for that may add
    the counts up, or look for a choice in the chunk that has none; it gets what the server would have sent to it.
    `rest` is the event that is not whole yet.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        options = body.get("stream_options")
        asked = options if isinstance(options, dict) else {}
        self._usage = bool(asked.get("include_usage"))
        self._as_it_is = self._usage and bool(asked.get("continuous_usage_stats"))
        self.rest = b""

    def take(self, piece: bytes) -> bytes:
        """What can go out now; an event that is not whole yet waits for its end."""
        if self._as_it_is:
            return piece
        whole, end, self.rest = (self.rest + piece).replace(b"\r\n", b"\n").rpartition(END)
        return b"".join(map(self._event, whole.split(END))) if end else b""

    def _event(self, event: bytes) -> bytes:
        if b'"usage"' not in event:
            return event + END
        try:
            chunk = json.loads(event.removeprefix(b"data:"))
        except ValueError:
            return event + END
        if not isinstance(chunk, dict) or (self._usage and _is_last(chunk)):
            return event + END
        if not chunk.get("choices"):
            return b""
        chunk.pop("usage", None)
        return b"data: " + json.dumps(chunk, ensure_ascii=False).encode("utf-8", "surrogatepass") + END


def _is_last(chunk: Mapping[str, Any]) -> bool:
    """Whether no more tokens come after it: its counts are the whole answer's."""
    choices = chunk.get("choices") or ()
    return all(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)
