"""A stored run before its gate: what it is held against, the verdict, and what a reader needs to act on it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from agentbench.baseline import Baseline, find_baseline, stored_outcomes
from agentbench.gate import GateOptions
from agentbench.run import Run
from agentbench.stats import summarize_serving
from agentbench.stats.gate import GateVerdict, judge_gate
from agentbench.stats.outcomes import Outcome
from agentbench.store import Store

CHANGED_SHOWN = 10
HISTORY = 10
"""Earlier runs of the same suite and configuration that are looked at for flaky cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gating:
    """A gate's verdict and its circumstances.

    `lost` and `gained` are the cases that were better, and worse, in the baseline. `flaky` are those that were both
    right and wrong, over the repeats of this run or over earlier runs of the same configuration.
    """

    run: Run
    verdict: GateVerdict
    baseline: Baseline | None
    notes: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    failures: Mapping[str, int]
    flaky: tuple[str, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """The first cases to look at: lost ones before gained ones."""
        return (*self.lost, *self.gained)[:CHANGED_SHOWN]

    @property
    def commands(self) -> tuple[str, ...]:
        """What shows the changed cases."""
        shown = [f"agentbench show {self.run.id} --case {case_id}" for case_id in self.changed]
        if self.baseline is not None and self.changed:
            shown.append(f"agentbench compare {self.run.id} {self.baseline.run_id}")
        return tuple(shown)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run.id,
            "suite": self.run.suite,
            "passed": self.verdict.passed,
            "checks": [asdict(check) for check in self.verdict.checks],
            "baseline": self.baseline and {"name": self.baseline.name, "run": self.baseline.run_id},
            "comparison": self.verdict.comparison and asdict(self.verdict.comparison),
            "lost": list(self.lost),
            "gained": list(self.gained),
            "failures": dict(self.failures),
            "flaky": list(self.flaky),
            "notes": list(self.notes),
            "commands": list(self.commands),
        }


def gate_options(run: Run, **changes: Any) -> GateOptions:
    """The gate that the run's suite had when it ran, with changes."""
    return GateOptions.model_validate({**(run.environment.get("gate") or {}), **changes})


def judge_run(store: Store, run: Run, options: GateOptions, case_ids: frozenset[str] | None = None) -> Gating:
    """The gate's verdict on a stored run, or on these of its cases. `UserError` when its baseline is not found."""
    outcomes = [each for each in stored_outcomes(store, run.id) if case_ids is None or each.case_id in case_ids]
    baseline = find_baseline(options.baseline, run.suite, store) if options.baseline else None
    serving = summarize_serving(outcomes, run.environment.get("objectives") or {})
    verdict = judge_gate(options, outcomes, serving, baseline.outcomes if baseline else None)
    found = verdict.comparison
    return Gating(
        run=run,
        verdict=verdict,
        baseline=baseline,
        notes=tuple(_notes(run, baseline, case_ids, outcomes)),
        lost=found.better_in_b if found else (),
        gained=found.better_in_a if found else (),
        failures=dict(sorted(Counter(each.failure for each in outcomes if each.failure).items())),
        flaky=flaky_cases(store, run, outcomes),
    )


def _notes(
    run: Run, baseline: Baseline | None, case_ids: frozenset[str] | None, outcomes: Sequence[Outcome]
) -> list[str]:
    notes = []
    if baseline is not None and baseline.suite_hash != run.suite_hash:
        notes.append("The baseline's cases are not all this run's: those of the same id are paired.")
    if case_ids is not None and len(case_ids) < len(run.case_ids):
        notes.append(f"Judged on {len(case_ids)} of the run's {len(run.case_ids)} cases: the others were not selected.")
    planned = (len(run.case_ids) if case_ids is None else len(case_ids)) * run.repeats
    if len(outcomes) < planned:
        notes.append(f"The run is not complete: {len(outcomes)} of {planned} attempts.")
    return notes


def flaky_cases(store: Store, run: Run, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Cases both right and wrong, in this run or with the last runs of its suite, configuration and cases."""
    seen: dict[str, set[bool]] = {}
    for outcome in outcomes:
        if outcome.passed is not None:
            seen.setdefault(outcome.case_id, set()).add(outcome.passed)
    alike = (
        earlier
        for earlier in store.list_runs(limit=50 * HISTORY, suite=run.suite)
        if earlier.config_hash == run.config_hash and earlier.created_at < run.created_at
    )
    for earlier in islice(alike, HISTORY):
        for case_id, _, passed in store.verdicts(earlier.id):
            if passed is not None and case_id in seen:
                seen[case_id].add(passed)
    return tuple(sorted(case_id for case_id, verdicts in seen.items() if len(verdicts) == 2))
