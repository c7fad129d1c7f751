"""How fast a suite's attempts were made before."""

from agentbench.baseline import stored_outcomes
from agentbench.stats import summarize_serving
from agentbench.store import Store
from agentbench.suite import Suite

LOOKED_AT = 5
"""Runs that are looked at, the newest first."""


def pace_of(suite: Suite, store: Store) -> float | None:
    """Attempts per second of the newest run of the suite that has some; None where there is none."""
    for run in store.list_runs(LOOKED_AT, suite.name):
        outcomes = stored_outcomes(store, run.id)
        wall_s = summarize_serving(outcomes).wall_s if outcomes else None
        if wall_s:
            return len(outcomes) / wall_s
    return None
