"""Judges a stored run by its gate, and checks whether a run may become a baseline."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from agentbench.core.run import Run, changed_parts
from agentbench.gate.baseline import (
    DIRECTORY,
    Baseline,
    check_standalone,
    find_baseline,
    saved_baseline,
    stored_outcomes,
)
from agentbench.gate.flaky import flaky_cases, rescued_cases
from agentbench.stats import summarize_serving
from agentbench.stats.gate import GateCheck, GateVerdict, judge_gate
from agentbench.stats.outcomes import Outcome
from agentbench.stats.samples import group_cases
from agentbench.store import Store
from agentbench.suite.config import GateOptions
from agentbench.suite.validation import validate

CHANGED_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Gating:
    """A gate's verdict and its context.

    `outcomes` are those of the judged attempts, from `cases` cases of the run's suite. When these are a part of the
    suite, the baseline is restricted to the same part. `lost` and `gained` are the cases that were better and worse in
    the baseline, largest change first. `flaky` cases had both verdicts without a change; `rescued` cases passed in a
    rerun. Neither changes a figure.
    """

    run: Run
    outcomes: tuple[Outcome, ...]
    cases: int
    verdict: GateVerdict
    baseline: Baseline | None
    notes: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    failures: Mapping[str, int]
    flaky: tuple[str, ...]
    rescued: tuple[str, ...]

    @property
    def part(self) -> str:
        """The judged share of the suite's cases, as text; empty when the verdict covers the whole suite."""
        total = self.run.suite_cases
        return f"{self.cases} of {total} cases" if self.cases < total else ""

    @property
    def changed(self) -> tuple[str, ...]:
        """The first cases to inspect: lost ones before gained ones."""
        return (*self.lost, *self.gained)[:CHANGED_SHOWN]

    @property
    def commands(self) -> tuple[str, ...]:
        """Commands that show the changed cases."""
        shown = [f"agentbench show {self.run.id} --case {quote(case_id)}" for case_id in self.changed]
        if self.baseline is not None and self.changed:
            shown.append(f"agentbench compare {self.baseline.run_id} {self.run.id}")
        return tuple(shown)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run.id,
            "suite": self.run.suite,
            "passed": self.verdict.passed,
            "cases": self.cases,
            "suite_cases": self.run.suite_cases,
            "checks": [asdict(check) for check in self.verdict.checks],
            "baseline": self.baseline and {"name": self.baseline.name, "run": self.baseline.run_id},
            "comparison": self.verdict.comparison and self.verdict.comparison.to_json(),
            "lost": list(self.lost),
            "gained": list(self.gained),
            "failures": dict(self.failures),
            "flaky": list(self.flaky),
            "rescued": list(self.rescued),
            "notes": list(self.notes),
            "commands": list(self.commands),
        }


def gate_options(run: Run, **changes: Any) -> GateOptions:
    """The gate of the run's suite at the time of the run, with `changes` applied; `UserError` for an invalid one."""
    return validate(GateOptions, {**(run.environment.get("gate") or {}), **changes}, lambda location: "gate")


def judge_run(
    store: Store,
    run: Run,
    options: GateOptions,
    case_ids: frozenset[str] | None = None,
    directory: Path = DIRECTORY,
) -> Gating:
    """The gate's verdict on a stored run, or on the given cases of it. `directory` has the baseline files.

    `UserError` when its baseline is not found, or the run is a rerun of failing cases.
    """
    check_standalone(run)
    judged = frozenset(run.case_ids) if case_ids is None else case_ids
    outcomes = [each for each in stored_outcomes(store, run.id) if each.case_id in judged]
    full_baseline = find_baseline(options.baseline, run, store, directory) if options.baseline is not None else None
    baseline = full_baseline.of_cases(judged) if full_baseline and len(judged) < run.suite_cases else full_baseline
    serving = summarize_serving(outcomes, run.environment.get("objectives") or {})
    verdict = judge_gate(options, outcomes, serving, baseline.outcomes if baseline else None, run.repeats)
    found = verdict.comparison
    change = _changes(outcomes, baseline.outcomes if baseline else ())
    rescued = rescued_cases(store, run)
    return Gating(
        run=run,
        outcomes=tuple(outcomes),
        cases=len(judged),
        verdict=_with_check(verdict, _complete(run, judged, len(outcomes))),
        baseline=baseline,
        notes=tuple(_notes(run, full_baseline, len(judged))),
        lost=tuple(sorted(found.better_in_b, key=lambda each: change[each])) if found else (),
        gained=tuple(sorted(found.better_in_a, key=lambda each: -change[each])) if found else (),
        failures=dict(sorted(Counter(each.failure for each in outcomes if each.failure).items())),
        flaky=flaky_cases(store, run, outcomes, rescued, _branch(run, baseline)),
        rescued=rescued,
    )


def judge(store: Store, run: Run, options: GateOptions, directory: Path = DIRECTORY) -> Gating:
    """The verdict on a stored run in its suite's mode, the same verdict as pytest's."""
    by_mode = judge_strictly if run.environment.get("mode") == "strict" else judge_run
    return by_mode(store, run, options, directory=directory)


def judge_strictly(store: Store, run: Run, options: GateOptions, directory: Path = DIRECTORY) -> Gating:
    """The verdict in mode `strict`: every case must pass in every repeat, except the cases that passed in a rerun."""
    gating = judge_run(store, run, options, directory=directory)
    missed = {each.case_id for each in gating.outcomes if each.failure or each.passed is False}
    failed = missed - set(gating.rescued)
    text = f"{len(failed)} of {len(run.case_ids)} cases did not pass"
    rescued = f", {len(missed) - len(failed)} passed in a rerun only" if len(failed) < len(missed) else ""
    check = GateCheck(name="cases", passed=not failed, said=text + rescued)
    return replace(gating, verdict=_with_check(gating.verdict, check))


def _with_check(verdict: GateVerdict, check: GateCheck | None) -> GateVerdict:
    if check is None:
        return verdict
    return replace(verdict, passed=verdict.passed and check.passed, checks=(*verdict.checks, check))


def _complete(run: Run, case_ids: frozenset[str], attempts: int) -> GateCheck | None:
    """The check that an interrupted run fails: all planned attempts are stored."""
    planned = len(case_ids) * run.repeats
    if attempts >= planned:
        return None
    return GateCheck(name="complete", passed=False, said=f"the run is not complete: {attempts} of {planned} attempts")


def _changes(run: Sequence[Outcome], baseline: Sequence[Outcome]) -> Mapping[str, float]:
    """Each case's pass rate minus its rate in the baseline; an attempt without a verdict counts as not right."""
    shares = [{sample.case_id: sample.mean for sample in group_cases(side, _right)} for side in (run, baseline)]
    return {case_id: share - shares[1].get(case_id, 0.0) for case_id, share in shares[0].items()}


def _right(outcome: Outcome) -> list[float]:
    return [float(outcome.passed is True)]


def _branch(run: Run, baseline: Baseline | None) -> str:
    """The branch whose runs decide which cases are flaky: the baseline's, else the run's own; empty when unknown."""
    named = (baseline.branch if baseline else "") or str(run.environment.get("git_branch", ""))
    return "" if named == "HEAD" else named


def _notes(run: Run, baseline: Baseline | None, judged: int) -> list[str]:
    notes = _notes_on_baseline(run, baseline) if baseline else []
    if judged < run.suite_cases:
        notes.append(f"Judged on {judged} of {run.suite_cases} cases: the others were not selected.")
    return notes


def _notes_on_baseline(run: Run, baseline: Baseline) -> list[str]:
    notes = []
    if baseline.run_id == run.id:
        notes.append("The baseline is this run itself.")
    if baseline.suite_hash != run.suite_hash:
        notes.append("The baseline has other cases than this run: cases with the same id are compared.")
    if baseline.cases < baseline.suite_cases:
        notes.append(f"The baseline covers only {baseline.cases} of its suite's {baseline.suite_cases} cases.")
    parts = changed_parts(baseline.suite_parts, run.environment.get("suite") or {})
    return notes + [f"The suite's {part} changed since the baseline." for part in parts]


DECIDES_NOTHING = ("run.repeats", "run.concurrency")
"""Settings that a baseline run may take from the command line: they change neither the cases nor the answers."""
NAMED = 3


def unfit(run: Run, name: str, store: Store, directory: Path = DIRECTORY) -> str:
    """Why the run should not become its suite's baseline of this name; empty when it may. `UserError` for a rerun."""
    return _not_full_run(run, store) or _not_passed(run, name, store, directory) or _not_committed(run)


def incomplete(run: Run, store: Store) -> str:
    """How many of the planned attempts are stored, as text; empty when all of them are."""
    stored, planned = len(store.stored_keys(run.id)), len(run.case_ids) * run.repeats
    return f"it has {stored} of {planned} attempts" if stored < planned else ""


def _not_full_run(run: Run, store: Store) -> str:
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
    """The gate's checks that the run fails, against the gate's own baseline and against the one it would replace."""
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
