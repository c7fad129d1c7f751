"""What the HTTP server puts up with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """See `ServingConfig`, which has the defaults."""

    max_body_bytes: int
    request_timeout_s: float
    slow_reader_timeout_s: float
    drain_s: float
