"""The Markdown section that a pull request shows of a gated run."""

from collections.abc import Iterator

from agentbench.baseline import Baseline
from agentbench.gating import Gating
from agentbench.report import figures
from agentbench.report.gate_text import gate_markdown
from agentbench.report.run_view import RunView, run_view
from agentbench.stats import mean_estimate
from agentbench.stats.samples import passes
from agentbench.stats.serving import percentile
from agentbench.store import Store


def summary_markdown(gating: Gating, store: Store) -> str:
    """Verdict, checks, and the run's figures beside the baseline's."""
    view = run_view(store, gating.run)
    return gate_markdown(f"agentbench {gating.run.suite}", gating, _rows(view, gating.baseline))


def _rows(view: RunView, baseline: Baseline | None) -> Iterator[tuple[str, str, str]]:
    other = list(baseline.outcomes) if baseline else []
    rate = mean_estimate(passes(other))
    yield "pass rate", _with_interval(view), figures.percent(rate.value if rate else None)
    yield "right / wrong / failed", f"{view.right} / {view.wrong} / {view.failed}", _counts(baseline)
    ttft = [value for outcome in other for value in outcome.ttft_s]
    tpot = [value for outcome in other for value in outcome.tpot_s]
    yield "TTFT p50", figures.seconds(view.serving.ttft_p50_s), figures.seconds(percentile(ttft, 50))
    yield "TTFT p95", figures.seconds(view.serving.ttft_p95_s), figures.seconds(percentile(ttft, 95))
    yield "TPOT p50", figures.seconds(view.serving.tpot_p50_s), figures.seconds(percentile(tpot, 50))
    yield "goodput", f"{figures.rate(view.serving.agent_goodput_per_s)}/s", ""
    yield "run", view.run.id, baseline.run_id if baseline else ""


def _with_interval(view: RunView) -> str:
    value = figures.percent(view.accuracy.value if view.accuracy else None)
    return f"{value} ({figures.interval(view.accuracy)})"


def _counts(baseline: Baseline | None) -> str:
    if baseline is None:
        return ""
    right = sum(outcome.passed is True for outcome in baseline.outcomes)
    failed = sum(outcome.failure is not None for outcome in baseline.outcomes)
    return f"{right} / {len(baseline.outcomes) - right - failed} / {failed}"
