"""One request on the wire: what was sent when, and the undecoded answer with the time of each read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentbench.load.workload import Turn


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Filled in while the request runs, decoded after the measurement. Times are `perf_counter_ns`.

    `intended_at` is when the schedule wanted it sent, `sent_at` just before its bytes were written (0 when
    they never were); of a request that was sent twice, the first time. `error` is a kind (`refused`, `reset`,
    `broken`, `timeout`, `malformed`, `interrupted`), empty when the response came whole.
    """

    index: int
    session: int
    turn: int
    asked: Turn
    warmup: bool
    intended_at: int
    sent_at: int = 0
    ended_at: int = 0
    retries: int = 0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    error: str = ""
    detail: str = ""
