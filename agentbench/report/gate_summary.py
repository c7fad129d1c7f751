"""The Markdown section that a pull request shows of a gated run."""

from collections.abc import Iterator

from agentbench.baseline import Baseline
from agentbench.gating import Gating
from agentbench.report import figures
from agentbench.report.gate_text import RunOutcome, gate_markdown
from agentbench.report.run_view import RunView, run_view
from agentbench.stats import mean_estimate
from agentbench.stats.samples import passes
from agentbench.stats.serving import percentile
from agentbench.store import Store

Row = tuple[str, str, str, str]


def summary_markdown(gating: Gating, store: Store, outcome: RunOutcome | None = None) -> str:
    """Verdict, checks, and the run's figures beside the baseline's. `outcome`: in place of the gate's verdict."""
    view = run_view(store, gating.run)
    rows = [*_verdict_rows(view, gating), *_times(view, gating)]
    return gate_markdown(f"agentbench {gating.run.suite}", gating, rows, outcome)


def _verdict_rows(view: RunView, gating: Gating) -> Iterator[Row]:
    baseline, found = gating.baseline, gating.verdict.comparison
    rate = mean_estimate(passes(baseline.outcomes)) if baseline else None
    shift = figures.points(found.difference) if found and found.difference is not None else ""
    yield "pass rate", _with_interval(view), figures.percent(rate.value) if rate else "", shift
    yield "right / wrong / failed", f"{view.right} / {view.wrong} / {view.failed}", _counts(baseline), ""
    yield "goodput", f"{figures.rate(view.serving.agent_goodput_per_s)}/s", "", ""
    yield "run", view.run.id, baseline.run_id if baseline else "", ""


def _times(view: RunView, gating: Gating) -> Iterator[Row]:
    other = gating.baseline.outcomes if gating.baseline else ()
    ttft = [value for outcome in other for value in outcome.ttft_s]
    tpot = [value for outcome in other for value in outcome.tpot_s]
    for name, own, values, q in (
        ("TTFT p50", view.serving.ttft_p50_s, ttft, 50),
        ("TTFT p95", view.serving.ttft_p95_s, ttft, 95),
        ("TPOT p50", view.serving.tpot_p50_s, tpot, 50),
    ):
        base = percentile(values, q)
        shift = figures.shift(own - base) if own is not None and base is not None else ""
        yield name, figures.seconds(own), "" if base is None else figures.seconds(base), shift


def _with_interval(view: RunView) -> str:
    value = figures.percent(view.accuracy.value if view.accuracy else None)
    spread = figures.interval(view.accuracy)
    return f"{value} ({spread})" if spread else value


def _counts(baseline: Baseline | None) -> str:
    if baseline is None:
        return ""
    right = sum(outcome.passed is True for outcome in baseline.outcomes)
    failed = sum(outcome.failure is not None for outcome in baseline.outcomes)
    return f"{right} / {len(baseline.outcomes) - right - failed} / {failed}"
