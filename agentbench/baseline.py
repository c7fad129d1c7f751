"""Baselines: the outcomes of a run that later runs are held against, in a small file for git or named in the store."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentbench.errors import UserError, unknown_name
from agentbench.run import Run
from agentbench.stats.outcomes import Outcome, outcomes_of
from agentbench.store import Store

DIRECTORY = Path("results") / "baselines"
SCHEMA = 1
DIGITS = 5
"""Digits kept of a latency in seconds: 10 microseconds, so that a file's differences are real ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A run's identity and its outcomes. `name` is how it was asked for."""

    name: str
    suite: str
    suite_hash: str
    run_id: str
    config: Mapping[str, Any]
    commit: str
    branch: str = ""
    outcomes: tuple[Outcome, ...]


def stored_outcomes(store: Store, run_id: str) -> list[Outcome]:
    """The outcomes of a stored run; its transcripts are never in memory together."""
    return outcomes_of(store.measured_attempts(run_id))


def baseline_of(name: str, run: Run, store: Store) -> Baseline:
    """A stored run as a baseline."""
    return Baseline(
        name=name,
        suite=run.suite,
        suite_hash=run.suite_hash,
        run_id=run.id,
        config=run.config,
        commit=str(run.environment.get("git_commit", "")),
        branch=str(run.environment.get("git_branch", "")),
        outcomes=tuple(stored_outcomes(store, run.id)),
    )


def find_baseline(name: str, run: Run, store: Store, directory: Path = DIRECTORY) -> Baseline:
    """What `run` is held against: the file of this name of its suite, else the one named in the store, else a run."""
    file = baseline_file(name, run.suite, directory) if re.fullmatch(r"[\w.-]+", name) else None
    if file is not None and file.is_file():
        return read_baseline(file)
    if named := store.baselines(run.suite).get((run.suite, name)):
        return baseline_of(name, store.get_run(named), store)
    return _run_as_baseline(name, run, store, directory)


def _run_as_baseline(name: str, run: Run, store: Store, directory: Path) -> Baseline:
    try:
        found = store.get_run(name, run.suite)
    except UserError as error:
        known = sorted({path.stem for path in (directory / run.suite).glob("*.json")} | set(_names(store, run.suite)))
        raise UserError(
            f"no baseline {name!r} of suite {run.suite!r}; there are: {', '.join(known) or 'none'}."
            f" Make one: agentbench baseline save {name} RUN ({error})"
        ) from None
    if found.id == run.id:
        raise UserError(f"baseline {name!r} is run {run.id} itself; name an earlier one, for example latest~1")
    if found.suite != run.suite:
        raise UserError(
            f"baseline {name!r} is run {found.id} of suite {found.suite!r}; it must be of {run.suite!r}."
            " Give an id or a label: agentbench runs lists them"
        )
    return baseline_of(name, found, store)


def named_baseline(name: str, suite: str | None, store: Store, directory: Path = DIRECTORY) -> tuple[Baseline, str]:
    """The one baseline of this name, of `suite` if it is given, and where it is kept: its file, or the store."""
    files = {path.parent.name: path for path in directory.glob("*/*.json") if path.stem == name}
    rows = {of: run_id for (of, named), run_id in store.baselines().items() if named == name}
    suites = sorted({*files, *rows} & ({suite} if suite else {*files, *rows}))
    if not suites:
        known = sorted({path.stem for path in directory.glob("*/*.json")} | {named for _, named in store.baselines()})
        raise unknown_name("baseline", name if suite is None else f"{name} of {suite}", known)
    if len(suites) > 1:
        raise UserError(f"several suites have a baseline {name!r}; say which with --suite: {', '.join(suites)}")
    if file := files.get(suites[0]):
        return read_baseline(file), str(file)
    return baseline_of(name, store.get_run(rows[suites[0]]), store), "store"


def _names(store: Store, suite: str) -> Iterator[str]:
    return (name for _, name in store.baselines(suite))


def baseline_file(name: str, suite: str, directory: Path = DIRECTORY) -> Path:
    return directory / suite / f"{name}.json"


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write the file, wholly or not at all: a line a case, in the order of ids, so that git shows what changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(_text(baseline), encoding="utf-8")
    draft.replace(path)


def _text(baseline: Baseline) -> str:
    head = {
        "schema": SCHEMA,
        "name": baseline.name,
        "suite": baseline.suite,
        "suite_hash": baseline.suite_hash,
        "run": baseline.run_id,
        "commit": baseline.commit,
        "branch": baseline.branch,
        "config": baseline.config,
    }
    lines = [f'  "{key}": {json.dumps(value, sort_keys=True)},' for key, value in head.items()]
    grouped: dict[str, list[Outcome]] = {}
    for outcome in sorted(baseline.outcomes, key=lambda each: (each.case_id, each.repeat)):
        grouped.setdefault(outcome.case_id, []).append(outcome)
    cases = [f"    {json.dumps(case_id)}: {json.dumps(_case(found))}" for case_id, found in grouped.items()]
    return "\n".join(["{", *lines, '  "cases": {', ",\n".join(cases), "  }", "}", ""])


def _case(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"cluster": outcomes[0].cluster, "attempts": [_attempt(outcome) for outcome in outcomes]}


def _attempt(outcome: Outcome) -> dict[str, Any]:
    """What of the attempt is not nothing."""
    values: dict[str, Any] = {
        "repeat": outcome.repeat,
        "passed": outcome.passed,
        "failure": outcome.failure,
        "scores": dict(outcome.scores),
        "ttft_s": [round(value, DIGITS) for value in outcome.ttft_s],
        "tpot_s": [round(value, DIGITS) for value in outcome.tpot_s],
        "latency_s": [round(value, DIGITS) for value in outcome.latency_s],
    }
    return {key: value for key, value in values.items() if value not in (None, [], {})}


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file; `UserError` when it is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise UserError(f"{path}: schema {data['schema']!r}; this agentbench reads {SCHEMA}. Save it again.")
        return Baseline(
            name=data["name"],
            suite=data["suite"],
            suite_hash=data["suite_hash"],
            run_id=data["run"],
            config=data["config"],
            commit=data["commit"],
            branch=data.get("branch", ""),
            outcomes=tuple(_outcomes(data["cases"])),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not a baseline ({type(error).__name__}: {error}). Save it again: agentbench baseline save"
        ) from None


def _outcomes(cases: Mapping[str, Any]) -> Iterator[Outcome]:
    for case_id, case in cases.items():
        for attempt in case["attempts"]:
            yield Outcome(
                case_id=case_id,
                cluster=case["cluster"],
                repeat=attempt["repeat"],
                passed=attempt.get("passed"),
                failure=attempt.get("failure"),
                scores=attempt.get("scores", {}),
                ttft_s=tuple(attempt.get("ttft_s", ())),
                tpot_s=tuple(attempt.get("tpot_s", ())),
                latency_s=tuple(attempt.get("latency_s", ())),
            )
