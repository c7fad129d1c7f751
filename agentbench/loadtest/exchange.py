"""One request of a load: the exchange, and where in the load it stands."""

from dataclasses import dataclass

from agentbench.http.exchange import Exchange
from agentbench.loadtest.workload import Turn


@dataclass(slots=True, kw_only=True)
class TurnExchange(Exchange):
    """`intended_at` is when the schedule wanted it sent (`perf_counter_ns`)."""

    index: int
    session: int
    turn: int
    asked: Turn
    warmup: bool
    intended_at: int
