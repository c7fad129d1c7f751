"""Baselines: the outcomes of a run that later runs are compared with, in a file for git or by name in the store."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentbench.atomic_write import atomic_write
from agentbench.core.errors import UserError, unknown_name
from agentbench.core.run import Run
from agentbench.stats.outcomes import Outcome, outcomes_of
from agentbench.stats.serving import percentile
from agentbench.store import Store

DIRECTORY = Path("results") / "baselines"
SCHEMA = 2
READ = (1, SCHEMA)
"""Readable file schemas. Schema 1 stored the times of each attempt, so that every run gave a different file."""
DIGITS = 5
"""Digits stored of a time in seconds: 10 microseconds."""
TIMES = {"ttft_p50_s": ("ttft_s", 50), "ttft_p95_s": ("ttft_s", 95), "tpot_p50_s": ("tpot_s", 50)}
"""The serving figures that a baseline shows: latency and percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A run's identity and its outcomes. `name` is the name by which it was requested.

    `suite_cases` is the number of cases in its suite; `suite_parts` has the tools, the user and the scorers as the
    suite file wrote them. `times` has the figures of `TIMES`, in seconds.
    """

    name: str
    suite: str
    suite_hash: str
    suite_cases: int
    suite_parts: Mapping[str, Any] = field(default_factory=dict)
    run_id: str
    config: Mapping[str, Any]
    commit: str
    branch: str = ""
    times: Mapping[str, float] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...]

    @property
    def cases(self) -> int:
        return len({outcome.case_id for outcome in self.outcomes})

    def of_cases(self, case_ids: Collection[str]) -> "Baseline":
        """The baseline restricted to these cases. Its times are dropped when they were stored only for all cases
        together.
        """
        outcomes = tuple(outcome for outcome in self.outcomes if outcome.case_id in case_ids)
        if len(outcomes) == len(self.outcomes):
            return self
        return replace(self, outcomes=outcomes, times=_times(outcomes))


def stored_outcomes(store: Store, run_id: str) -> list[Outcome]:
    """The outcomes of a stored run, without loading its transcripts into memory at once."""
    return outcomes_of(store.measured_attempts(run_id))


def baseline_of(name: str, run: Run, store: Store) -> Baseline:
    """A stored run as a baseline. `UserError` for a rerun, which does not represent its suite."""
    check_standalone(run)
    outcomes = tuple(stored_outcomes(store, run.id))
    return Baseline(
        name=name,
        suite=run.suite,
        suite_hash=run.suite_hash,
        suite_cases=run.suite_cases,
        suite_parts=run.environment.get("suite") or {},
        run_id=run.id,
        config=run.config,
        commit=str(run.environment.get("git_commit", "")),
        branch=str(run.environment.get("git_branch", "")),
        times=_times(outcomes),
        outcomes=outcomes,
    )


def check_standalone(run: Run) -> None:
    """`UserError` for a rerun of another run's failing cases."""
    if run.kind == "rerun":
        of = run.environment.get("rerun_of", "another run")
        raise UserError(f"run {run.id} is a rerun of only the failing cases of {of}; name {of} instead")


def _times(outcomes: Iterable[Outcome]) -> dict[str, float]:
    latencies: dict[str, list[float]] = {"ttft_s": [], "tpot_s": []}
    for outcome in outcomes:
        for name, values in latencies.items():
            values.extend(getattr(outcome, name))
    found = {name: percentile(latencies[metric], q) for name, (metric, q) in TIMES.items()}
    return {name: round(value, DIGITS) for name, value in found.items() if value is not None}


def find_baseline(name: str, run: Run, store: Store, directory: Path = DIRECTORY) -> Baseline:
    """The baseline for `run`: the suite's file of this name, else the store's baseline of this name, else a run."""
    if not name.strip():
        raise UserError("the baseline's name is empty (a variable that is not set?); give a name, or leave it out")
    return saved_baseline(name, run.suite, store, directory) or _run_as_baseline(name, run, store, directory)


def saved_baseline(name: str, suite: str, store: Store, directory: Path = DIRECTORY) -> Baseline | None:
    """The suite's baseline of this name: its file, else the run of that name in the store, else None."""
    file = baseline_file(name, suite, directory) if re.fullmatch(r"[\w.-]+", name) else None
    if file is not None and file.is_file():
        return read_baseline(file)
    named = store.baselines(suite).get((suite, name))
    return baseline_of(name, store.get_run(named), store) if named else None


def _run_as_baseline(name: str, run: Run, store: Store, directory: Path) -> Baseline:
    try:
        found = store.get_run(name, run.suite)
    except UserError as error:
        names = sorted({path.stem for path in (directory / run.suite).glob("*.json")} | set(_names(store, run.suite)))
        raise UserError(
            f"no baseline {name!r} of suite {run.suite!r}; there are: {', '.join(names) or 'none'}."
            f" Make one: agentbench baseline save {name} RUN, with a run of the branch that changes go into ({error})"
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
    """The one baseline of this name (of `suite` if given), and its place: its file or the store."""
    files = {path.parent.name: path for path in directory.glob("*/*.json") if path.stem == name}
    rows = {of: run_id for (of, named), run_id in store.baselines().items() if named == name}
    suites = sorted({*files, *rows} & ({suite} if suite else {*files, *rows}))
    if not suites:
        names = sorted({path.stem for path in directory.glob("*/*.json")} | {named for _, named in store.baselines()})
        if not names:
            raise UserError(f"no baseline {name!r}, nor any other. Make one: agentbench baseline save {name} RUN")
        raise unknown_name("baseline", name if suite is None else f"{name} of {suite}", names)
    if len(suites) > 1:
        raise UserError(f"several suites have a baseline {name!r}; say which with --suite: {', '.join(suites)}")
    if file := files.get(suites[0]):
        return read_baseline(file), str(file)
    return baseline_of(name, store.get_run(rows[suites[0]]), store), "store"


def _names(store: Store, suite: str) -> Iterator[str]:
    return (name for _, name in store.baselines(suite))


def baseline_file(name: str, suite: str, directory: Path = DIRECTORY) -> Path:
    return directory / suite / f"{name}.json"


def write_baseline(baseline: Baseline, path: Path) -> bool:
    """Write the file atomically. Returns False, and leaves the file, when it holds the same outcomes of an earlier run.

    Each case is one line, sorted by id and without times, so that a git diff shows the changed answers.
    """
    text = _text(baseline)
    if path.is_file() and _without_run(path.read_text(encoding="utf-8")) == _without_run(text):
        return False
    with atomic_write(path, force=True) as draft:
        draft.write_text(text, encoding="utf-8")
    return True


RUN_LINE = '  "run": '


def _without_run(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(RUN_LINE)]


def _text(baseline: Baseline) -> str:
    run = {"id": baseline.run_id, "commit": baseline.commit, "branch": baseline.branch, **baseline.times}
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "name": baseline.name,
        "suite": baseline.suite,
        "suite_hash": baseline.suite_hash,
        **({"part_of": baseline.suite_cases} if baseline.cases < baseline.suite_cases else {}),
        **({"suite_parts": baseline.suite_parts} if baseline.suite_parts else {}),
    }
    lines = [f'  "{key}": {_line(value)},' for key, value in head.items()]
    grouped: dict[str, list[Outcome]] = {}
    for outcome in sorted(baseline.outcomes, key=lambda each: (each.case_id, each.repeat)):
        grouped.setdefault(outcome.case_id, []).append(outcome)
    cases = {case_id: _case(found) for case_id, found in grouped.items()}
    config = dict(sorted(baseline.config.items()))
    return "\n".join(
        ["{", *lines, f"{RUN_LINE}{_line(run)},", *_object("config", config, ","), *_object("cases", cases), "}", ""]
    )


def _object(name: str, values: Mapping[str, Any], end: str = "") -> list[str]:
    """A JSON object with one key a line."""
    entries = ",\n".join(f"    {json.dumps(key)}: {_line(value)}" for key, value in values.items())
    return [f'  "{name}": {{', *([entries] if entries else []), f"  }}{end}"]


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _case(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    first = outcomes[0]
    cluster = {"cluster": first.cluster} if first.cluster != first.case_id else {}
    return cluster | {"attempts": [_attempt(outcome) for outcome in outcomes]}


def _attempt(outcome: Outcome) -> dict[str, Any]:
    """The attempt's values that are not empty."""
    values: dict[str, Any] = {
        "repeat": outcome.repeat,
        "passed": outcome.passed,
        "failure": outcome.failure,
        "scores": dict(outcome.scores),
    }
    return {key: value for key, value in values.items() if value not in (None, {})}


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file; `UserError` when it is invalid."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] not in READ:
            versions = " and ".join(map(str, READ))
            raise UserError(f"{path}: schema {data['schema']!r}; this agentbench reads {versions}. Save it again.")
        outcomes = tuple(_outcomes(data["cases"]))
        run = data["run"] if data["schema"] > 1 else _run_of_first_schema(data, outcomes)
        return Baseline(
            name=data["name"],
            suite=data["suite"],
            suite_hash=data["suite_hash"],
            suite_cases=int(data.get("part_of") or len(data["cases"])),
            suite_parts=data.get("suite_parts", {}),
            run_id=run["id"],
            config=data["config"],
            commit=run["commit"],
            branch=run["branch"],
            times={name: float(run[name]) for name in TIMES if name in run},
            outcomes=outcomes,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not a baseline ({type(error).__name__}: {error}). Save it again: agentbench baseline save"
        ) from None


def _run_of_first_schema(data: Mapping[str, Any], outcomes: Iterable[Outcome]) -> dict[str, Any]:
    return {"id": data["run"], "commit": data["commit"], "branch": data.get("branch", ""), **_times(outcomes)}


def _outcomes(cases: Mapping[str, Any]) -> Iterator[Outcome]:
    for case_id, case in cases.items():
        for attempt in case["attempts"]:
            yield Outcome(
                case_id=case_id,
                cluster=case.get("cluster", case_id),
                repeat=attempt["repeat"],
                passed=attempt.get("passed"),
                failure=attempt.get("failure"),
                scores=attempt.get("scores", {}),
                ttft_s=tuple(attempt.get("ttft_s", ())),
                tpot_s=tuple(attempt.get("tpot_s", ())),
            )
