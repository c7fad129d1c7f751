"""How fast a suite's attempts were made before."""

from itertools import islice

from agentbench.gate.baseline import stored_outcomes
from agentbench.stats import summarize_serving
from agentbench.store import Store
from agentbench.suite.suite import Suite

LOOKED_AT = 5
"""Runs that are looked at, the newest first; and as many of studies."""


def pace_of(suite: Suite, store: Store) -> float | None:
    """Attempts per second of the newest run of the suite that has some, else of one of a study's; None without one."""
    own = (run.id for run in store.list_runs(LOOKED_AT, suite.name))
    studied = (run.run_id for run in reversed(store.studies.runs(None, "search")))
    of_suite = (run_id for run_id in studied if store.get_run(run_id).suite == suite.name)
    for run_id in (*own, *islice(of_suite, LOOKED_AT)):
        outcomes = stored_outcomes(store, run_id)
        wall_s = summarize_serving(outcomes).wall_s if outcomes else None
        if wall_s:
            return len(outcomes) / wall_s
    return None
