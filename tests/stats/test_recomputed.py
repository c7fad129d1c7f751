"""Every figure of a run, a comparison, a gate and a load worked out again from the rows, by NumPy and SciPy alone.

Nothing of `agentbench.stats` is called but what is tested: the formulas are those of docs/statistics.md, written anew.
"""

from collections import Counter
from datetime import UTC, datetime
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from agentbench.core.attempt import Attempt, Score
from agentbench.core.run import Run
from agentbench.core.trace import Failure, ModelCall, Trace
from agentbench.loadtest.metrics import summarize
from agentbench.report.compare_view import Side, compare_sides
from agentbench.report.run_view import RunView, view_of
from agentbench.stats import judge_gate, summarize_serving
from agentbench.stats.outcomes import outcomes_of
from agentbench.suite.gate_options import GateOptions, Slo
from tests.loadtest.records import record

MS = 1_000_000
AGENTS = ("agent", "timeout", "budget")
LIMIT_S = 0.05
PRICES = {"small": {"prompt": 1.0, "cached": 0.5, "completion": 4.0}, "large": {"prompt": 8.0, "completion": 20.0}}
Row = dict[str, Any]
Floats = NDArray[np.float64]

tokens = st.none() | st.integers(0, 400)
calls = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["small", "large", "unpriced"]),
        "sent": st.integers(0, 40),
        "chunks": st.lists(st.integers(1, 60), max_size=4),
        "prompt": tokens,
        "cached": st.none() | st.integers(0, 9),
        "completion": tokens,
        "broken": st.sampled_from([False, False, False, True]),
    }
)
attempts = st.fixed_dictionaries(
    {
        "failure": st.sampled_from([None] * 8 + ["agent", "infra", "timeout", "grader"]),
        "passed": st.sampled_from([True, True, False, None]),
        "score": st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        "start": st.integers(0, 2000),
        "took": st.integers(100, 400),
        "calls": st.lists(calls, max_size=2),
    }
)


@st.composite
def runs(draw: st.DrawFn, clusters: list[int]) -> tuple[list[Row], int]:
    """Rows of a run, and its repeats; a case is in the cluster that its number has."""
    repeats = draw(st.integers(1, 3))
    cases = [case for case in range(len(clusters)) if draw(st.integers(0, 9))]
    rows = [
        {**draw(attempts), "case": f"c{case:02}", "cluster": f"k{clusters[case]}", "repeat": repeat}
        for case in cases
        for repeat in range(repeats)
    ]
    return rows, repeats


pairs = st.lists(st.integers(0, 7), min_size=1, max_size=12).flatmap(lambda each: st.tuples(runs(each), runs(each)))


def stored(row: Row) -> Attempt:
    steps = tuple(stored_call(row, call) for call in row["calls"])
    failure = row["failure"] and Failure(kind=row["failure"], message="no")
    return Attempt(
        case_id=row["case"],
        cluster=row["cluster"],
        repeat=row["repeat"],
        seed=0,
        tries=1,
        started_at=row["start"] * MS,
        ended_at=(row["start"] + row["took"]) * MS,
        wall_anchor_ns=7 * MS,
        trace=Trace(steps=steps),
        failure=failure,
        scores=() if failure else (Score(name="graded", value=row["score"], passed=True),),
        passed=None if failure else row["passed"],
    )


def stored_call(row: Row, call: Row) -> ModelCall:
    sent = row["start"] + call["sent"]
    return ModelCall(
        messages=(),
        request={"model": call["model"]},
        reply={},
        finish_reason="stop",
        intended_at=sent * MS,
        sent_at=sent * MS,
        ended_at=(sent + 70) * MS,
        chunk_at=tuple((sent + at) * MS for at in np.cumsum(call["chunks"]).tolist()),
        prompt_tokens=call["prompt"],
        cached_tokens=None if call["prompt"] is None or (call["cached"] or 0) > call["prompt"] else call["cached"],
        completion_tokens=call["completion"],
        error="reset" if call["broken"] else None,
    )


def a_view(rows: list[Row], repeats: int, name: str) -> RunView:
    ids = tuple(dict.fromkeys(row["case"] for row in rows))
    run = Run(
        id=name,
        suite="s",
        suite_version="1",
        suite_path="",
        suite_hash="0",
        config={},
        config_hash="0" * 64,
        case_ids=ids,
        repeats=repeats,
        label=name,
        environment={"objectives": {"ttft": LIMIT_S}, "prices": PRICES},
        status="finished",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return view_of(run, outcomes_of(map(stored, rows)))


def verdict(row: Row, gated: bool = False) -> float | None:
    if row["failure"]:
        return 0.0 if gated and row["failure"] in AGENTS else None
    return None if row["passed"] is None else float(row["passed"])


def by_case(rows: list[Row], value: Any) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if (each := value(row)) is not None:
            found.setdefault(row["case"], []).append(each)
    return dict(sorted(found.items()))


def clusters_of(rows: list[Row], cases: Any) -> list[str]:
    names = {row["case"]: row["cluster"] for row in rows}
    return [names[case] for case in cases]


def error_of(values: Floats, clusters: list[str]) -> tuple[float, float, float]:
    """Standard error, degrees of freedom and effective clusters, by matrices."""
    names = sorted(set(clusters))
    members = np.array([[cluster == name for cluster in clusters] for name in names], dtype=float)  # [C, n]
    sizes, n = members.sum(axis=1), len(values)
    effective = n**2 / np.sum(sizes**2)
    if len(names) < 2:
        return np.nan, 1.0, effective
    left = members @ (values - values.mean())
    alike = 0.0
    if n > len(names):
        means = members @ values / sizes
        within = np.sum((values - members.T @ means) ** 2) / (n - len(names))
        between = np.sum(sizes * (means - values.mean()) ** 2)
        shared = max(0.0, (between - (len(names) - 1) * within) / (n - np.sum(sizes**2) / n))
        alike = shared / (shared + within) if shared + within > 1e-15 else 0.0
    diagonal = np.diag(sizes * (1 + (sizes - 1) * alike))
    taken = np.eye(len(names)) - np.outer(sizes / n, np.ones(len(names)))
    covariance = taken @ diagonal @ taken.T
    trace = np.trace(covariance)
    error = np.sqrt(np.trace(diagonal) / trace * np.sum(left**2)) / n
    return float(error), float(trace**2 / np.trace(covariance @ covariance)), float(effective)


def wilson(rate: float, n: float, z: float) -> tuple[float, float]:
    """The rates that a score test does not reject, as the roots of a quadratic."""
    low, high = np.sort(np.roots([1 + z**2 / n, -(2 * rate + z**2 / n), rate**2]).real)
    return (0.0 if rate == 0 else float(low)), (1.0 if rate == 1 else float(high))


def mean_of(cases: dict[str, list[float]], clusters: list[str]) -> tuple[float, float | None, float | None] | None:
    """A mean over cases and its interval."""
    if not cases:
        return None
    means = np.array([np.mean(each) for each in cases.values()])
    every = [value for each in cases.values() for value in each]
    rate, binary = float(means.mean()), set(every) <= {0.0, 1.0}
    error, freedom, effective = error_of(means, clusters)
    if binary and len(every) == len(cases) == len(set(clusters)):
        return rate, *wilson(rate, len(cases), stats.norm.ppf(0.975))
    if effective < 5 - 1e-6:
        return rate, None, None
    if rate in (0.0, 1.0):
        return rate, *wilson(rate, effective, stats.norm.ppf(0.975))
    size = rate * (1 - rate) / error**2 if error > 1e-9 else np.inf
    size = min(size, len(every)) if binary else size if error > 1e-9 else effective
    return rate, *wilson(rate, size, stats.t.ppf(0.975, freedom))


def at_k(cases: dict[str, list[float]], k: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """pass@k and pass^k of each case with k verdicts, by every choice of k of them."""
    whole = {case: list(combinations(found, k)) for case, found in cases.items() if len(found) >= k}
    some = {case: [float(np.mean([max(each) for each in choices]))] for case, choices in whole.items()}
    every = {case: [float(np.mean([min(each) for each in choices]))] for case, choices in whole.items()}
    return some, every


def near(found: Any, expected: Any) -> None:
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-7)


def check_mean(document: dict[str, Any], key: str, rows: list[Row], cases: dict[str, list[float]]) -> None:
    expected = mean_of(cases, clusters_of(rows, cases)) or (None, None, None)
    for name, value in zip((key, f"{key}_low", f"{key}_high"), expected, strict=True):
        near(document[name], value)


def check_calls(found: dict[str, Any], rows: list[Row]) -> None:
    made = [(row, call) for row in rows for call in row["calls"]]
    whole = [(row, call) for row, call in made if not call["broken"]]
    streamed = [call for _, call in whole if call["chunks"]]
    ttft = [call["chunks"][0] / 1e3 for call in streamed]
    tpot = [
        sum(call["chunks"][1:]) / 1e3 / (call["completion"] - 1)
        for call in streamed
        if len(call["chunks"]) > 1 and (call["completion"] or 0) > 1
    ]
    latency = [(sum(call["chunks"]) or 70) / 1e3 for _, call in whole if call["chunks"] or call["completion"]]
    assert found["model_calls"] == len(made)
    for name, values in (("ttft", ttft), ("tpot", tpot), ("latency", latency)):
        for q in (50, 95):
            near(found[f"{name}_p{q}_s"], float(np.percentile(values, q)) if values else None)
    for name in ("prompt", "completion"):
        counted = [call[name] for _, call in made if call[name] is not None]
        assert found[f"{name}_tokens"] == (sum(counted) if counted else None)
        lacking = [call for _, call in made if call[name] is None and (call["chunks"] or not call["broken"])]
        assert found[f"uncounted_{name}s"] == len(lacking)
    names = Counter(call["model"] for _, call in made)
    assert {each["model"]: each["calls"] for each in found["models"]} == names
    check_rates(found, rows)


def check_rates(found: dict[str, Any], rows: list[Row]) -> None:
    flying = np.zeros(4000, dtype=bool)  # a place for each millisecond
    for row in rows:
        flying[row["start"] : row["start"] + row["took"]] = True
    near(found["wall_s"], float(flying.sum()) / 1e3 if rows else None)
    right = [row for row in rows if verdict(row) == 1.0]
    good = [
        row
        for row in right
        if all(call["chunks"] for call in row["calls"])
        and all(call["chunks"][0] / 1e3 <= LIMIT_S for call in row["calls"] if not call["broken"])
    ]
    near(found["agent_goodput_per_s"], len(good) / (flying.sum() / 1e3) if rows else None)
    ends = [
        (row["start"] + call["sent"], sum(call["chunks"]) or 70, call["completion"])
        for row in rows
        for call in row["calls"]
        if call["chunks"] or (call["completion"] and not call["broken"])
    ]
    counted = [count for *_, count in ends if count is not None]
    if counted:
        first, last = min(sent for sent, *_ in ends), max(sent + took for sent, took, _ in ends)
        near(found["output_tokens_per_s"], sum(counted) / (flying[first:last].sum() / 1e3))
    else:
        assert found["output_tokens_per_s"] is None


def check_cost(found: dict[str, Any], rows: list[Row]) -> None:
    made = [(stored_call(row, call), call) for row in rows for call in row["calls"]]
    spent, unknown, known = 0.0, 0, 0
    for stored_one, call in made:
        price = PRICES.get(call["model"])
        lacking = call["prompt"] is None or call["completion"] is None
        took = call["chunks"] or not call["broken"]
        unknown += price is None or bool(lacking and took)
        if price is not None:
            known += not (lacking and took)
            cached = stored_one.cached_tokens or 0
            spent += ((call["prompt"] or 0) - cached) * price["prompt"] + cached * price.get("cached", price["prompt"])
            spent += (call["completion"] or 0) * price["completion"]
    near(found["cost"], spent / 1e6 if known else None)
    if known:
        assert found["cost_unknown_calls"] == unknown


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs)
def test_every_figure_of_a_run_a_comparison_and_a_gate(both: tuple[tuple[list[Row], int], ...]) -> None:
    for rows, repeats in both:
        check_run(rows, repeats)
    (a, repeats_a), (b, repeats_b) = both
    check_comparison(a, repeats_a, b, repeats_b)
    check_gate(b, repeats_b, a)


def check_run(rows: list[Row], repeats: int) -> None:
    found = a_view(rows, repeats, "run").to_json()
    said = [verdict(row) for row in rows]
    failed = Counter(row["failure"] for row in rows if row["failure"])
    assert (found["attempts_right"], found["attempts_wrong"]) == (said.count(1.0), said.count(0.0))
    assert (found["attempts_failed"], found["failures"]) == (failed.total(), failed)
    assert found["attempts_waiting"] == len(rows) - failed.total() - said.count(1.0) - said.count(0.0)
    cases = by_case(rows, verdict)
    check_mean(found, "accuracy", rows, cases)
    gated = by_case(rows, lambda row: verdict(row, gated=True))
    for suffix, of in (("", cases), ("_as_gated", gated)):
        some, every = at_k(of, repeats) if repeats > 1 else ({}, {})
        check_mean(found, f"pass_at_k{suffix}", rows, some) if not suffix else None
        near(found[f"pass_hat_k{suffix}"], float(np.mean(list(every.values()))) if every else None)
        assert found[f"pass_k{suffix}_cases"] == len(every)
    check_calls(found, rows)
    check_cost(found, rows)


def common(a: list[Row], b: list[Row], value: Any) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The values of the repeats that have one in both."""
    keyed = [{(row["case"], row["repeat"]): value(row) for row in side} for side in (a, b)]
    keys = sorted(key for key in keyed[0] if keyed[0][key] is not None and keyed[1].get(key) is not None)
    sides = tuple({case: [one[key] for key in keys if key[0] == case] for case, _ in keys} for one in keyed)
    return sides[0], sides[1]


def tango(mean: float, discordance: float, n: float, z: float) -> tuple[float, float]:
    def variance(delta: float) -> float:
        # The most likely share of pairs that changed for the worse under `delta`: by its quadratic, 2q² + … = 0.
        worse = (discordance - mean) / 2
        share = np.roots([2.0, -(discordance - (2 - mean) * delta), -worse * delta * (1 - delta)]).real.max()
        return max(0.0, float(2 * share + delta * (1 - delta)))

    def excess(delta: float) -> float:
        return float(abs(mean - delta) - z * np.sqrt(variance(delta) / n))

    bounds = []
    for edge in (-1.0, 1.0):
        start = mean + np.copysign(1e-9, edge - mean)
        outside = abs(edge - mean) < 1e-9 or excess(edge) <= 0
        bounds.append(edge if outside else float(optimize.brentq(excess, start, edge, xtol=1e-12)))
    return bounds[0], bounds[1]


def check_comparison(a: list[Row], repeats_a: int, b: list[Row], repeats_b: int) -> None:
    sides = [
        Side(view=a_view(rows, repeats, name), outcomes=outcomes_of(map(stored, rows)))
        for rows, repeats, name in ((a, repeats_a, "a"), (b, repeats_b, "b"))
    ]
    view = compare_sides(*sides)
    of_a, of_b = common(a, b, verdict)
    found = view.passes
    assert found.cases == len(of_a)
    if not of_a:
        return
    clusters = clusters_of(a, of_a)
    values = np.array([np.mean(of_b[case]) - np.mean(of_a[case]) for case in of_a])
    near(found.difference, float(values.mean()))
    near(found.rate_a, float(np.mean([np.mean(each) for each in of_a.values()])))
    near(found.rate_b, float(np.mean([np.mean(each) for each in of_b.values()])))
    assert found.better_in_b == tuple(case for case, each in zip(of_a, values, strict=True) if each > 1e-9)
    sums = np.array([values[np.array(clusters) == name].sum() for name in sorted(set(clusters))])
    totals = np.array(list(product((-1, 1), repeat=len(sums)))) @ np.abs(sums)
    less, more = np.mean(totals <= sums.sum() + 1e-9), np.mean(totals >= sums.sum() - 1e-9)
    near(found.p_worse, float(less))
    near(found.p_value, float(min(1.0, 2 * min(less, more))))
    check_interval(found, values, clusters, once=all(len(each) == 1 for each in of_a.values()))


def check_interval(found: Any, values: Floats, clusters: list[str], once: bool) -> None:
    error, freedom, effective = error_of(values, clusters)
    apart = len(set(clusters)) == len(values)
    if (apart and once and len(values) < 2) or (not (apart and once) and effective < 5 - 1e-6):
        assert (found.low, found.high) == (None, None)
        return
    size, square, mean = np.abs(values).mean(), np.mean(values**2), values.mean()
    step = (1 + (square / size if size > 1e-12 else 1.0)) / 2
    step = min(step, square / abs(mean)) if abs(mean) > 1e-12 else step
    changed = max(square / step**2, abs(mean) / step)
    pairs_worth = effective if apart or error <= 1e-9 else (square - mean**2) / error**2
    z = stats.norm.ppf(0.975) if apart else stats.t.ppf(0.975, freedom + 1)
    bounds = np.clip(step * np.array(tango(mean / step, changed, pairs_worth, z)), -1, 1)
    assert [found.low, found.high] == pytest.approx(bounds.tolist(), abs=1e-5)


def check_gate(rows: list[Row], repeats: int, baseline: list[Row]) -> None:
    options = GateOptions(baseline="main", min_pass_rate=0.6, min_pass_hat_k=0.4, slo=Slo(ttft_p50=0.03))
    run, before = (outcomes_of(map(stored, each)) for each in (rows, baseline))
    judged = judge_gate(options, run, summarize_serving(run), before, repeats)
    found = {check.name: check.passed for check in judged.checks}
    gated = by_case(rows, lambda row: verdict(row, gated=True))
    lacking = [row for row in rows if verdict(row, gated=True) is None]
    assert found["failures"] == (bool(rows) and len(lacking) / len(rows) <= 0.05)
    assert found["min_pass_rate"] == (bool(gated) and np.mean([np.mean(each) for each in gated.values()]) > 0.6 - 1e-9)
    every = [min(each) for each in gated.values() if len(each) >= repeats]
    assert found["min_pass_hat_k"] == (bool(every) and np.mean(every) > 0.4 - 1e-9)
    ttft = [call["chunks"][0] for row in rows for call in row["calls"] if call["chunks"] and not call["broken"]]
    assert found["ttft_p50"] == (bool(ttft) and np.median(ttft) <= 30)
    of_run, of_baseline = common(rows, baseline, lambda row: verdict(row, gated=True))
    if of_run:
        clusters = np.array(clusters_of(rows, of_run))
        values = np.array([np.mean(of_run[case]) - np.mean(of_baseline[case]) for case in of_run])
        sums = np.array([values[clusters == name].sum() for name in sorted(set(clusters))])
        totals = np.array(list(product((-1, 1), repeat=len(sums)))) @ np.abs(sums)
        assert found["baseline"] == (np.mean(totals <= sums.sum() + 1e-9) >= 0.05)


loads = st.lists(
    st.tuples(st.integers(0, 500), st.lists(st.integers(1, 90), min_size=1, max_size=5), st.integers(0, 50)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(loads)
def test_every_figure_of_a_load(made: list[tuple[int, list[int], int]]) -> None:
    records = [
        record(number, sent=sent, chunks=tuple((sent + np.cumsum(gaps)).tolist()), prompt_tokens=prompt)
        for number, (sent, gaps, prompt) in enumerate(made)
    ]
    found = summarize([records], {"ttft": LIMIT_S})
    ends = [sent + sum(gaps) for sent, gaps, _ in made]
    window = (max(ends) - min(sent for sent, *_ in made)) / 1e3
    written, read = sum(len(gaps) for _, gaps, _ in made), sum(prompt for *_, prompt in made)
    for name, values in (
        ("ttft", [gaps[0] for _, gaps, _ in made]),
        ("latency", [sum(gaps) for _, gaps, _ in made]),
        ("itl", [gap for _, gaps, _ in made for gap in gaps[1:]]),
        ("tpot", [np.mean(gaps[1:]) for _, gaps, _ in made if len(gaps) > 1]),
    ):
        for q in (50, 90, 95, 99):
            near(found[f"{name}_p{q}_s"], float(np.percentile(values, q)) / 1e3 if values else None)
    near(found["window_s"], window)
    near(found["output_tokens_per_s"], written / window)
    near(found["total_tokens_per_s"], (written + read) / window)
    near(found["requests_per_s"], len(made) / window)
    near(found["goodput_per_s"], sum(gaps[0] / 1e3 <= LIMIT_S for _, gaps, _ in made) / window)
    near(found["mean_outstanding"], sum(sum(gaps) for _, gaps, _ in made) / 1e3 / window)
