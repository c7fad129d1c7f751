"""What JUnit XML says of an item and of the whole session. Values are escaped by pytest, names are not."""

import re
from collections.abc import Iterable, Iterator, Sequence

from agentbench.gating import Gating
from agentbench.report import run_view
from agentbench.score import Attempt
from agentbench.stats.outcomes import Outcome, outcomes_of, total
from agentbench.store import Store

Property = tuple[str, object]


def case_properties(run_id: str, attempts: Sequence[Attempt]) -> Iterator[Property]:
    """Of a case: verdicts and mean scores over its repeats, its slowest call, its tokens, its failures."""
    outcomes = outcomes_of(attempts)
    right = sum(outcome.passed is True for outcome in outcomes)
    yield "agentbench_run", run_id
    yield "agentbench_passed", f"{right} of {len(outcomes)}"
    yield "agentbench_pass_rate", round(right / len(outcomes), 4) if outcomes else 0.0
    yield from _scores(outcomes)
    for name in ("ttft_s", "tpot_s"):
        if values := [value for outcome in outcomes for value in getattr(outcome, name)]:
            yield f"agentbench_{name}", round(max(values), 5)
    for name in ("prompt_tokens", "completion_tokens"):
        if (count := total(getattr(outcome.usage, name) for outcome in outcomes)) is not None:
            yield f"agentbench_{name}", count
    yield from (("agentbench_failure", outcome.failure) for outcome in outcomes if outcome.failure)


def _scores(outcomes: Iterable[Outcome]) -> Iterator[Property]:
    given: dict[str, list[float]] = {}
    for outcome in outcomes:
        for name, value in outcome.scores.items():
            given.setdefault(name, []).append(value)
    for name, values in given.items():
        yield f"agentbench_score_{_word(name)}", round(sum(values) / len(values), 4)


def gate_properties(gating: Gating) -> Iterator[Property]:
    """Of a gate: its run and its checks."""
    yield "agentbench_run", gating.run.id
    for check in gating.verdict.checks:
        yield f"agentbench_gate_{_word(check.name)}", f"{'passed' if check.passed else 'failed'}: {check.said}"


def run_properties(store: Store, run_ids: Iterable[str]) -> Iterator[Property]:
    """Of the session: each run's identity and figures, under the suite's name."""
    for run_id in run_ids:
        run = store.get_run(run_id)
        view = run_view(store, run)
        head = f"agentbench_{_word(run.suite)}"
        yield f"{head}_run", run.id
        yield f"{head}_config", run.config_hash
        yield f"{head}_commit", str(run.environment.get("git_commit", ""))
        yield f"{head}_pass_rate", "" if view.accuracy is None else round(view.accuracy.value, 4)
        yield f"{head}_right_wrong_failed", f"{view.right} / {view.wrong} / {view.failed} of {view.planned}"
        for name in ("ttft_p95_s", "tpot_p50_s", "agent_goodput_per_s"):
            if (value := getattr(view.serving, name)) is not None:
                yield f"{head}_{name}", round(value, 5)


def _word(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
