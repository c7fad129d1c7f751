"""Every figure of a run, a comparison, a gate and a load worked out again from the rows, by NumPy and SciPy alone.

Random runs are written to a store, and read from its tables by plain SQL. Nothing of `agentbench.stats` is called but
what is tested: the formulas are those of docs/statistics.md, written anew.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations, count
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, special, stats

from agentbench.core.attempt import Attempt, Score
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.core.trace import Failure, ModelCall, Trace
from agentbench.gate.judge import judge_run
from agentbench.loadtest.plan import LoadPoint
from agentbench.loadtest.result import PointResult, Round
from agentbench.loadtest.roofline import Peak
from agentbench.report.compare.view import compare_view
from agentbench.report.run.view import run_view
from agentbench.store import Store, open_store
from agentbench.suite.config import GateOptions, Slo
from tests.loadtest.records import record

MS = 1_000_000
AGENTS = ("agent", "timeout", "budget")
LIMIT_S = 0.05
PRICES = {"small": {"prompt": 1.0, "cached": 0.5, "completion": 4.0}, "large": {"prompt": 8.0, "completion": 20.0}}
ROOT = 1e-8
"""How near the bounds are that are found by bisection."""
Row = dict[str, Any]
Floats = NDArray[np.float64]
Cases = dict[str, list[float]]

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
        "graded": st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        "exact": st.booleans(),
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
    return (list(map(tilted, rows)) if draw(st.booleans()) else rows), repeats


def tilted(row: Row) -> Row:
    """The row of a run that is right and slow throughout, so that it differs from one that is not."""
    calls = [{**call, "chunks": [gap + 60 for gap in call["chunks"]]} for call in row["calls"]]
    return {**row, "passed": True, "graded": 1.0, "took": row["took"] + 300, "calls": calls}


suites = st.one_of(
    st.lists(st.integers(0, 7), min_size=1, max_size=12),
    st.integers(5, 9).map(lambda cases: list(range(cases))),
    st.integers(10, 14).map(lambda cases: [case // 2 for case in range(cases)]),
)
pairs = suites.flatmap(lambda each: st.tuples(runs(each), runs(each)))


def attempt(row: Row) -> Attempt:
    failure = row["failure"] and Failure(kind=row["failure"], message="no")
    scores = (
        Score(name="graded", value=row["graded"], passed=True),
        Score(name="exact", value=float(row["exact"]), passed=row["exact"]),
    )
    return Attempt(
        case_id=row["case"],
        cluster=row["cluster"],
        repeat=row["repeat"],
        seed=0,
        tries=1,
        started_at=row["start"] * MS,
        ended_at=(row["start"] + row["took"]) * MS,
        wall_anchor_ns=7 * MS,
        trace=Trace(steps=tuple(model_call(row, call) for call in row["calls"])),
        failure=failure,
        scores=() if failure else scores,
        passed=None if failure else row["passed"],
    )


def model_call(row: Row, call: Row) -> ModelCall:
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


numbers = count()


class Kept:
    """A store with random runs, and what its tables have of them."""

    def __init__(self, file: Path) -> None:
        self.store: Store = open_store(f"sqlite:///{file}")
        self.tables = sqlite3.connect(file)
        self.tables.row_factory = sqlite3.Row

    def keep(self, rows: list[Row], repeats: int, suite: str) -> tuple[Run, list[Row]]:
        """The run as it is stored, and its rows as plain SQL has them."""
        number = next(numbers)
        run = Run(
            id=f"run-{number}",
            suite=suite,
            suite_version="1",
            suite_path="",
            suite_hash="0",
            config={},
            config_hash="0" * 64,
            case_ids=tuple(dict.fromkeys(row["case"] for row in rows)),
            repeats=repeats,
            label=f"label {number}",
            environment={"objectives": {"ttft": LIMIT_S}, "prices": PRICES},
            created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        )
        self.store.create_run(run)
        cases = {row["case"]: Case(id=row["case"], messages=(), cluster=row["cluster"]) for row in rows}
        self.store.add_attempts(run.id, [(attempt(row), cases[row["case"]]) for row in rows])
        self.store.set_status(run.id, "finished")
        return self.store.get_run(run.id), list(self._rows(run.id))

    def _rows(self, run_id: str) -> Iterator[Row]:
        for row in self.tables.execute("SELECT * FROM attempts WHERE run_id = ? ORDER BY id", (run_id,)):
            scores = dict(
                self.tables.execute("SELECT name, value FROM scores WHERE attempt_id = ?", (row["id"],)).fetchall()
            )
            made = self.tables.execute("SELECT * FROM model_calls WHERE attempt_id = ? ORDER BY position", (row["id"],))
            yield {
                "case": row["case_id"],
                "cluster": row["cluster"],
                "repeat": row["repeat"],
                "failure": row["failure_kind"],
                "passed": None if row["passed"] is None else bool(row["passed"]),
                "scores": scores,
                "start": row["started_at"] // MS,
                "took": (row["ended_at"] - row["started_at"]) // MS,
                "calls": [self._call(row, call) for call in made],
            }

    def _call(self, row: sqlite3.Row, call: sqlite3.Row) -> Row:
        at = json.loads(call["chunk_at"])
        return {
            "model": json.loads(call["request"])["model"],
            "sent": (call["sent_at"] - row["started_at"]) // MS,
            "chunks": (np.diff([call["sent_at"], *at]) // MS).tolist(),
            "prompt": call["prompt_tokens"],
            "cached": call["cached_tokens"],
            "completion": call["completion_tokens"],
            "broken": call["error"] is not None,
        }


def verdict(row: Row, gated: bool = False) -> float | None:
    if row["failure"]:
        return 0.0 if gated and row["failure"] in AGENTS else None
    return None if row["passed"] is None else float(row["passed"])


def by_case(rows: list[Row], value: Callable[[Row], float | None]) -> Cases:
    found: Cases = {}
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


def near(found: Any, expected: Any, within: float = 1e-9) -> None:
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=within, abs=within)


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
    spent, unknown, known = 0.0, 0, 0
    for call in (call for row in rows for call in row["calls"]):
        price = PRICES.get(call["model"])
        lacking = call["prompt"] is None or call["completion"] is None
        took = call["chunks"] or not call["broken"]
        unknown += price is None or bool(lacking and took)
        if price is not None:
            known += not (lacking and took)
            cached = call["cached"] or 0
            spent += ((call["prompt"] or 0) - cached) * price["prompt"] + cached * price.get("cached", price["prompt"])
            spent += (call["completion"] or 0) * price["completion"]
    near(found["cost"], spent / 1e6 if known else None)
    if known:
        assert found["cost_unknown_calls"] == unknown


@pytest.mark.long
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(both=pairs)
def test_every_figure_of_a_run_a_comparison_and_a_gate(both: tuple[tuple[list[Row], int], ...], kept: Kept) -> None:
    suite = f"suite {next(numbers)}"  # one that has no other runs, which a gate would look at
    (a, rows_a), (b, rows_b) = (kept.keep(rows, repeats, suite) for rows, repeats in both)
    for run, rows in ((a, rows_a), (b, rows_b)):
        check_run(run_view(kept.store, run).to_json(), rows, run.repeats)
    check_comparison(kept.store, a, rows_a, b, rows_b)
    check_gate(kept.store, b, rows_b, a, rows_a)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    found = Kept(tmp_path_factory.mktemp("recomputed") / "store.db")
    yield found
    found.tables.close()
    found.store.close()


def check_run(found: dict[str, Any], rows: list[Row], repeats: int) -> None:
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
    check_scores(found, rows)
    check_calls(found, rows)
    check_tail(found, rows)
    check_cost(found, rows)


def score_of(name: str) -> Callable[[Row], float | None]:
    return lambda row: row["scores"].get(name)


def check_scores(found: dict[str, Any], rows: list[Row]) -> None:
    assert set(found["scores"]) == {name for row in rows for name in row["scores"]}
    for name, estimate in found["scores"].items():
        cases = by_case(rows, score_of(name))
        expected = mean_of(cases, clusters_of(rows, cases))
        assert expected is not None
        for key, value in zip(("value", "low", "high"), expected, strict=True):
            near(estimate[key], value)


def ttfts(row: Row) -> list[float]:
    return [call["chunks"][0] * MS * 1e-9 for call in row["calls"] if call["chunks"] and not call["broken"]]


def check_tail(found: dict[str, Any], rows: list[Row]) -> None:
    values = np.array([value for row in rows for value in ttfts(row)])
    clusters = [row["cluster"] for row in rows for _ in ttfts(row)]
    low, high = quantile_bounds(values, clusters, 95)
    near(found["ttft_p95_low_s"], low, ROOT)
    near(found["ttft_p95_high_s"], high, ROOT)


def quantile_bounds(values: Floats, clusters: list[str], percent: float) -> tuple[float | None, float | None]:
    """Order statistics of as many values as the error of the share up to the percentile is worth."""
    if not len(values):
        return None, None
    up_to = (values <= np.percentile(values, percent)).astype(float)
    error, freedom, effective = error_of(up_to, clusters)
    if effective < 5 - 1e-6:
        return None, None
    few = stats.t.ppf(0.975, len(values) - 1) / stats.t.ppf(0.975, freedom)
    share = up_to.mean()
    n = effective if error < 1e-12 else min(len(values), share * (1 - share) / error**2 * few**2)
    q = percent / 100

    def level(probability: float) -> float:
        """Of which the order statistic is below the quantile with this probability."""
        return float(
            optimize.brentq(
                lambda at: special.betainc((n + 1) * at, (n + 1) * (1 - at), q) - probability,
                1e-9,
                1 - 1e-9,
                xtol=1e-13,
            )
        )

    low, high, ends = level(0.975), level(0.025), (1 / (n + 1), n / (n + 1))
    if high > ends[1]:
        low, high = level(0.95), np.inf
    elif low < ends[0]:
        low, high = -np.inf, level(0.05)
    return (
        float(np.quantile(values, low, method="weibull")) if low >= ends[0] else None,
        float(np.quantile(values, high, method="weibull")) if high <= ends[1] else None,
    )


def common(a: list[Row], b: list[Row], value: Callable[[Row], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
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


def check_comparison(store: Store, a: Run, rows_a: list[Row], b: Run, rows_b: list[Row]) -> None:
    view = compare_view(store, a, b)
    p_values = {"pass_rate": check_passes(view.passes, rows_a, rows_b)}
    p_values |= {f"{name}_p50": check_shift(getattr(view, name), rows_a, rows_b, name) for name in ("ttft", "tpot")}
    found = {score.scorer: score for score in view.scores}
    p_values["score:graded"] = check_graded(found.get("graded"), rows_a, rows_b)
    check_holm(view.to_json()["p_adjusted"], {name: p for name, p in p_values.items() if p is not None})


def check_holm(found: dict[str, float], p_values: dict[str, float]) -> None:
    """Each p times how many are left from it on, in order, and not below the one before."""
    order = sorted(p_values, key=lambda name: p_values[name])
    expected = np.maximum.accumulate([min(1, (len(order) - i) * p_values[name]) for i, name in enumerate(order)])
    assert found == pytest.approx(dict(zip(order, expected.tolist(), strict=True)), abs=1e-9)


def sums_of(values: Floats, clusters: list[str]) -> Floats:
    found: dict[str, float] = {}
    for cluster, value in zip(clusters, values.tolist(), strict=True):
        found[cluster] = found.get(cluster, 0.0) + value
    return np.array(list(found.values()))


def signed_rank(values: Floats, clusters: list[str]) -> float:
    moved = sums_of(values, clusters)
    moved = moved[np.abs(moved) > 1e-12]
    return float(stats.wilcoxon(moved).pvalue) if len(moved) else 1.0


def flip_tails(sums: Floats) -> tuple[float, float]:
    """The shares of all choices of signs with a total as low, and as high, as the one found."""
    signs = 1 - 2 * (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1)
    totals = signs @ np.abs(sums)
    return float(np.mean(totals <= sums.sum() + 1e-9)), float(np.mean(totals >= sums.sum() - 1e-9))


def check_passes(found: Any, a: list[Row], b: list[Row]) -> float | None:
    """Its p, None without a case in common."""
    of_a, of_b = common(a, b, verdict)
    assert found.cases == len(of_a)
    if not of_a:
        assert found.p_value is None
        return None
    clusters = clusters_of(a, of_a)
    values = np.array([np.mean(of_b[case]) - np.mean(of_a[case]) for case in of_a])
    near(found.difference, float(values.mean()))
    near(found.rate_a, float(np.mean([np.mean(each) for each in of_a.values()])))
    near(found.rate_b, float(np.mean([np.mean(each) for each in of_b.values()])))
    assert found.better_in_b == tuple(case for case, each in zip(of_a, values, strict=True) if each > 1e-9)
    assert found.better_in_a == tuple(case for case, each in zip(of_a, values, strict=True) if each < -1e-9)
    less, more = flip_tails(sums_of(values, clusters))
    near(found.p_worse, less)
    near(found.p_value, min(1.0, 2 * min(less, more)))
    once = all(len(each) == 1 for each in of_a.values())
    check_interval(found, values, clusters, once=once)
    if once and len(set(clusters)) == len(values):
        check_power(found, values, float(np.mean([np.mean(each) for each in of_a.values()])))
    return float(found.p_value)


def check_power(found: Any, values: Floats, rate: float) -> None:
    """The power of McNemar's one-sided test, over how many pairs will differ and how many of these for the better."""
    n, flips = len(values), float(np.mean(values != 0))

    significant = [
        [up for up in range(m + 1) if sum(comb(m, k) for k in range(up + 1)) / 2**m < 0.025] for m in range(n + 1)
    ]

    def power(drop: float) -> float:
        better = flips / 2 * (1 - drop / rate)
        differ, for_better = min(1.0, 2 * better + drop), better / (2 * better + drop)
        return sum(
            comb(n, m)
            * differ**m
            * (1 - differ) ** (n - m)
            * comb(m, up)
            * for_better**up
            * (1 - for_better) ** (m - up)
            for m, few in enumerate(significant)
            for up in few
        )

    for drop in (rate / 4, rate) if rate else ():
        near(found.power.of(drop, 0.025), power(drop))
    least = found.power.smallest(0.025)
    assert (least is None) == (not rate or power(rate) < 0.8)
    if least is not None:
        assert power(max(1e-9, least - 2e-4)) - 1e-9 <= 0.8 <= power(min(rate, least + 2e-4)) + 1e-9


def tpots(row: Row) -> list[float]:
    return [
        sum(call["chunks"][1:]) * MS * 1e-9 / (call["completion"] - 1)
        for call in row["calls"]
        if not call["broken"] and len(call["chunks"]) > 1 and (call["completion"] or 0) > 1
    ]


def check_shift(found: Any, a: list[Row], b: list[Row], name: str) -> float | None:
    """Its p, None where no case has the latency on both sides."""
    values = {"ttft": ttfts, "tpot": tpots}[name]
    sides = common(a, b, lambda row: None if row["failure"] else values(row))
    pooled = [{case: list(chain.from_iterable(each)) for case, each in side.items() if any(each)} for side in sides]
    cases = [case for case in pooled[0] if case in pooled[1]]
    if not cases:
        assert found is None
        return None
    clusters = clusters_of(a, cases)
    moved = np.array([np.median(pooled[1][case]) - np.median(pooled[0][case]) for case in cases])
    near(found.difference_s, float(np.median(moved)))
    low, high = quantile_bounds(moved, clusters, 50)
    near(found.low_s, low, ROOT)
    near(found.high_s, high, ROOT)
    near(found.p_value, signed_rank(moved, clusters))
    return float(found.p_value)


def check_graded(found: Any, a: list[Row], b: list[Row]) -> float | None:
    """Its p, None where the scorer's values are all 0 or 1, or no case has one on both sides."""
    of_a, of_b = common(a, b, score_of("graded"))
    given = [[row["scores"]["graded"] for row in side if "graded" in row["scores"]] for side in (a, b)]
    if not of_a or not all(given) or not {0.25, 0.5} & {*given[0], *given[1]}:
        assert found is None
        return None
    clusters = clusters_of(a, of_a)
    values = np.array([np.mean(of_b[case]) - np.mean(of_a[case]) for case in of_a])
    near(found.difference, float(values.mean()))
    near(found.mean_a, float(np.mean([np.mean(each) for each in of_a.values()])))
    near(found.mean_b, float(np.mean([np.mean(each) for each in of_b.values()])))
    low, high = graded_bounds(values, clusters)
    near(found.low, low, ROOT)
    near(found.high, high, ROOT)
    near(found.p_value, signed_rank(values, clusters))
    return float(found.p_value)


def graded_bounds(values: Floats, clusters: list[str]) -> tuple[float | None, float | None]:
    """The wider of Tango's, in steps of their own, and Hall's."""
    error, freedom, effective = error_of(values, clusters)
    if effective < 5 - 1e-6:
        return None, None
    mean, square, size = values.mean(), np.mean(values**2), np.abs(values).mean()
    step = square / size if size > 1e-12 else 1.0
    n = (square - mean**2) / error**2 if error > 1e-9 else effective
    t = stats.t.ppf(0.975, freedom)
    low, high = step * np.array(tango(mean / step, max(square / step**2, abs(mean) / step), n, t))
    if error > 1e-9:
        left = sums_of(values - mean, clusters)
        bend = np.mean(left**3) / np.mean(left**2) ** 1.5 / np.sqrt(len(left))
        straight = abs(bend) < 1e-6
        bent = [
            mean - error * (q if straight else 3 / bend * (np.cbrt(1 + bend * (q - bend / 6)) - 1)) for q in (t, -t)
        ]
        low, high = min(low, bent[0]), max(high, bent[1])
    return max(-1.0, float(low)), min(1.0, float(high))


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
    assert [found.low, found.high] == pytest.approx(bounds.tolist(), abs=ROOT)


def check_gate(store: Store, run: Run, rows: list[Row], baseline: Run, rows_before: list[Row]) -> None:
    limits: dict[str, Any] = {"min_pass_rate": 0.6, "min_pass_hat_k": 0.4, "slo": Slo(ttft_p50=0.03)}
    options = GateOptions(baseline=baseline.id, **limits)
    found = {check.name: check.passed for check in judge_run(store, run, options).verdict.checks}
    gated = by_case(rows, lambda row: verdict(row, gated=True))
    lacking = [row for row in rows if verdict(row, gated=True) is None]
    assert found["failures"] == (bool(rows) and len(lacking) / len(rows) <= 0.05)
    assert found["min_pass_rate"] == (bool(gated) and np.mean([np.mean(each) for each in gated.values()]) > 0.6 - 1e-9)
    every = [min(each) for each in gated.values() if len(each) >= run.repeats]
    assert found["min_pass_hat_k"] == (bool(every) and np.mean(every) > 0.4 - 1e-9)
    ttft = [value for row in rows for value in ttfts(row)]
    assert found["ttft_p50"] == (bool(ttft) and np.median(ttft) <= 0.03 + 1e-9)
    of_run, of_before = common(rows, rows_before, lambda row: verdict(row, gated=True))
    if of_run:
        clusters = clusters_of(rows, of_run)
        values = np.array([np.mean(of_run[case]) - np.mean(of_before[case]) for case in of_run])
        assert found["baseline"] == (flip_tails(sums_of(values, clusters))[0] >= 0.05)
        margin = GateOptions(baseline=baseline.id, test="non_inferiority", margin=0.2)
        inferior = judge_run(store, run, margin).verdict
        judged = {check.name: check.passed for check in inferior.checks}
        once = all(len(each) == 1 for each in of_run.values())
        bound = lower_bound(values, clusters, once=once)
        assert inferior.comparison is not None
        assert inferior.comparison.power is not None
        near(inferior.comparison.power.found.lower_bound(0.05), bound, ROOT)
        if bound is None or abs(bound + 0.2) > ROOT:
            assert judged["baseline"] == (bound is not None and bound > -0.2)


def lower_bound(values: Floats, clusters: list[str], once: bool) -> float | None:
    """One-sided at 5 %, in steps of which three quarters are whole."""
    error, freedom, effective = error_of(values, clusters)
    apart = len(set(clusters)) == len(values)
    if (apart and once and len(values) < 2) or (not (apart and once) and effective < 5 - 1e-6):
        return None
    mean, square, size = values.mean(), np.mean(values**2), np.abs(values).mean()
    step = (3 + (square / size if size > 1e-12 else 1.0)) / 4
    n = effective if apart or error <= 1e-9 else (square - mean**2) / error**2
    z = stats.norm.ppf(0.95) if apart and once else stats.t.ppf(0.95, freedom)
    return max(-1.0, step * tango(mean / step, max(square / step**2, abs(mean) / step), n, z)[0])


loads = st.lists(
    st.tuples(st.integers(0, 500), st.lists(st.integers(1, 90), min_size=1, max_size=5), st.integers(0, 50)),
    min_size=1,
    max_size=12,
)


ARCHITECTURE = {
    "num_parameters": 1000,
    "weight_bytes_per_step": 4000,
    "kv_bytes_per_token": 16,
    "num_layers": 2,
    "hidden_size": 8,
}


@pytest.mark.long
@settings(max_examples=2 * settings().max_examples)
@given(loads)
def test_every_figure_of_a_load(made: list[tuple[int, list[int], int]]) -> None:
    records = tuple(
        record(number, sent=sent, chunks=tuple((sent + np.cumsum(gaps)).tolist()), prompt_tokens=prompt)
        for number, (sent, gaps, prompt) in enumerate(made)
    )
    point = PointResult(
        load=LoadPoint(concurrency=4),
        limits={"ttft": LIMIT_S},
        architectures={"a": ARCHITECTURE},
        peak=Peak(bytes_per_s=1e6, flop_per_s=1e9),
        sides={"a": [Round(records=records, wall_ns=0, elapsed_s=2.0, client_cpu_s=0.5, complete=True)]},
    )
    stored = json.loads(json.dumps(point.to_json()))["sides"]["a"]
    check_load(stored["figures"], stored["rounds"][0]["requests"])


def check_load(found: dict[str, Any], rows: list[Row]) -> None:
    """`rows` are the requests as the result's file has them, times in nanoseconds."""
    chunks = [np.array(row["chunk_at"]) / 1e9 for row in rows]
    sent = np.array([row["sent_at"] for row in rows]) / 1e9
    first, last = np.array([each[0] for each in chunks]), np.array([each[-1] for each in chunks])
    window = last.max() - sent.min()
    written, read = sum(row["completion_tokens"] for row in rows), sum(row["prompt_tokens"] for row in rows)
    tpot = [(each[-1] - each[0]) / (len(each) - 1) for each in chunks if len(each) > 1]
    figures = (("ttft", first - sent), ("latency", last - sent), ("itl", np.concatenate(list(map(np.diff, chunks)))))
    for name, values in (*figures, ("tpot", tpot)):
        for q in (50, 90, 95, 99):
            near(found[f"{name}_p{q}_s"], float(np.percentile(values, q)) if len(values) else None)
    near(found["window_s"], window)
    near(found["output_tokens_per_s"], written / window)
    near(found["total_tokens_per_s"], (written + read) / window)
    near(found["requests_per_s"], len(rows) / window)
    near(found["goodput_per_s"], np.sum(first - sent <= LIMIT_S + 1e-12) / window)
    near(found["mean_outstanding"], np.sum(last - sent) / window)
    near(found["client_cpu_share"], 0.25)
    check_utilization(found, rows, tpot, window)


def check_utilization(found: dict[str, Any], rows: list[Row], tpot: list[float], window: float) -> None:
    """Bytes and arithmetic token by token, and the KV cache millisecond by millisecond."""
    contexts = [at for row in rows for at in range(1, row["prompt_tokens"] + row["completion_tokens"] + 1)]
    work = sum(2 * ARCHITECTURE["num_parameters"] + 4 * 2 * 8 * at for at in contexts)
    near(found["mfu"], work / window / 1e9)
    held = np.zeros(2000)
    for row in rows:
        span = slice(row["chunk_at"][0] // MS, row["chunk_at"][-1] // MS)
        held[span] += row["prompt_tokens"] + row["completion_tokens"] / 2
    decoding = np.zeros(2000, dtype=bool)
    for row in rows:
        decoding[row["chunk_at"][0] // MS : row["chunk_at"][-1] // MS] = True
    live = 16 * held[decoding].mean() if decoding.any() else 0.0
    near(found["live_kv_bytes"], live)
    near(found["mbu"], (4000 + live) / np.median(tpot) / 1e6 if tpot else None)
