"""What a run must be to become a baseline that later runs are held against."""

from collections.abc import Sequence
from pathlib import Path

from agentbench.baseline import DIRECTORY, check_standalone, saved_baseline
from agentbench.gating import gate_options, judge
from agentbench.run import Run
from agentbench.store import Store

DECIDES_NOTHING = ("run.repeats", "run.concurrency")
"""Settings that a run may have from the command line: they change neither what is asked nor how it is answered."""
NAMED = 3


def unfit(run: Run, name: str, store: Store, directory: Path = DIRECTORY) -> str:
    """Why the run should not become its suite's baseline of this name; empty when it may. `UserError` for a rerun."""
    return _not_whole(run, store) or _not_passed(run, name, store, directory) or _not_committed(run)


def incomplete(run: Run, store: Store) -> str:
    """How much of the run is there; empty when all of it is."""
    made, planned = len(store.stored_keys(run.id)), len(run.case_ids) * run.repeats
    return f"it has {made} of {planned} attempts" if made < planned else ""


def _not_whole(run: Run, store: Store) -> str:
    check_standalone(run)
    if run.kind == "study":
        return "it is a run of a tuning study"
    if run.kind != "suite":
        return f"it is of {len(run.case_ids)} of the suite's {run.suite_cases} cases"
    if missing := incomplete(run, store):
        return missing
    return f"it is {run.status}" if run.status != "finished" else ""


def _not_committed(run: Run) -> str:
    facts = run.environment
    if not facts.get("git_commit"):
        return "it ran outside of a git repository, or before its first commit"
    if facts.get("git_dirty") is not False:
        return "it ran with changes that are not committed"
    if untracked := facts.get("git_untracked"):
        return f"it ran with files that are in no commit: {_named(untracked)} (add them, or name them in .gitignore)"
    overridden = [path for path in facts.get("overridden") or () if path not in DECIDES_NOTHING]
    if overridden:
        return f"its configuration is not the suite's: {_named(overridden)} came from outside (--set, --config, …)"
    return ""


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _not_passed(run: Run, name: str, store: Store, directory: Path) -> str:
    """What of its gate it fails, held against the gate's own baseline and against the one that it is to replace."""
    options = gate_options(run)
    wanted: list[str | None] = [
        each
        for each in dict.fromkeys((options.baseline, name))
        if each and (each != name or saved_baseline(each, run.suite, store, directory))
    ]
    for baseline in wanted or [None]:
        verdict = judge(store, run, options.model_copy(update={"baseline": baseline}), directory).verdict
        if not verdict.passed:
            return "it fails its gate: " + "; ".join(check.said for check in verdict.checks if not check.passed)
    return ""
