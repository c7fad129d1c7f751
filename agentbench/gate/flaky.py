"""Flaky cases: their verdict changes although nothing else did."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

from agentbench.core.run import STANDALONE, Run
from agentbench.stats.outcomes import Outcome
from agentbench.store import RunSummary, Store

HISTORY = 10
"""Most earlier runs of the same suite and configuration to compare with."""

LOOKED_AT = 500
"""Number of the suite's newest runs to search for them."""

Verdicts = tuple[tuple[str, bool], ...]


def rerun_label(run_id: str) -> str:
    """The label of the run that reruns another run's failing cases."""
    return f"rerun of {run_id}"


def rescued_cases(store: Store, run: Run) -> tuple[str, ...]:
    """The cases that passed in a rerun of the run."""
    named = rerun_label(run.id)
    reruns = (each for each in store.list_runs(LOOKED_AT, run.suite) if each.kind == "rerun" and each.label == named)
    return tuple(sorted({case_id for each in reruns for case_id, passed in _verdicts(store, each.id) if passed}))


def flaky_cases(
    store: Store, run: Run, outcomes: Sequence[Outcome], rescued: Iterable[str], branch: str
) -> tuple[str, ...]:
    """The run's flaky cases.

    A case is flaky when it has both verdicts over its repeats, in a rerun, or in one earlier run. It is flaky too when
    its verdict changed back and forth over the last runs of the suite and configuration on `branch` (any branch when
    this is empty). A case that changed once is not flaky: a change repaired or broke it.
    """
    own: Verdicts = tuple((each.case_id, each.passed) for each in outcomes if each.passed is not None)
    history = [_verdicts(store, each.id) for each in _earlier(store, run, branch)]
    if not branch or run.environment.get("git_branch") == branch:
        history.append(own)
    found = set(rescued) | _mixed(own) | _back_and_forth(history)
    for verdicts in history:
        found |= _mixed(verdicts)
    return tuple(sorted(found & {each.case_id for each in outcomes}))


def _earlier(store: Store, run: Run, branch: str) -> list[RunSummary]:
    """The last runs of the same suite and configuration, oldest first."""
    alike = (
        each
        for each in store.list_runs(LOOKED_AT, run.suite)
        if each.config_hash == run.config_hash
        and each.created_at < run.created_at
        and each.kind in STANDALONE
        and (not branch or store.get_run(each.id).environment.get("git_branch") == branch)
    )
    return list(islice(alike, HISTORY))[::-1]


def _verdicts(store: Store, run_id: str) -> Verdicts:
    return tuple((case_id, passed) for case_id, _, passed in store.verdicts(run_id) if passed is not None)


def _mixed(verdicts: Verdicts) -> set[str]:
    both = set(verdicts)
    return {case_id for case_id, passed in both if (case_id, not passed) in both}


def _back_and_forth(history: Sequence[Verdicts]) -> set[str]:
    """The cases whose verdict changed at least twice from one run to the next."""
    series: dict[str, list[bool]] = {}
    for verdicts in history:
        for case_id, passed in dict(verdicts).items():
            series.setdefault(case_id, []).append(passed)
    return {case_id for case_id, each in series.items() if sum(_changes(each)) > 1}


def _changes(series: Sequence[bool]) -> Iterator[bool]:
    return (before is not after for before, after in pairwise(series))
