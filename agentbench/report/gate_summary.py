"""The Markdown section that a pull request shows of a gated run."""

from collections.abc import Iterator

from agentbench.gate.baseline import Baseline
from agentbench.gate.judge import Gating
from agentbench.report import figures
from agentbench.report.gate_text import Row, RunOutcome, gate_markdown
from agentbench.report.run_view import RunView, view_of
from agentbench.stats import mean_estimate
from agentbench.stats.samples import passes
from agentbench.store import Store


def summary_markdown(gating: Gating, store: Store, outcome: RunOutcome | None = None) -> str:
    """Verdict, checks, and the run's figures beside the baseline's; of a part, the same part of the baseline.

    `outcome`: in place of the gate's verdict.
    """
    view = view_of(gating.run, gating.outcomes)
    rows = [*_verdict_rows(view, gating), *_times(view, gating)]
    return gate_markdown(f"agentbench {gating.run.suite}", gating, rows, outcome)


def _verdict_rows(view: RunView, gating: Gating) -> Iterator[Row]:
    baseline, found = gating.baseline, gating.verdict.comparison
    rate = mean_estimate(passes(baseline.outcomes)) if baseline else None
    shift = figures.points(found.difference) if found and found.difference is not None else ""
    yield "cases", str(gating.cases), str(baseline.cases) if baseline else "", f"{found.cases} paired" if found else ""
    yield "pass rate", _with_interval(view), figures.percent(rate.value) if rate else "", shift
    yield "right / wrong / failed", f"{view.right} / {view.wrong} / {view.failed}", _counts(baseline), ""
    yield "goodput", f"{figures.rate(view.serving.agent_goodput_per_s)}/s", "", ""
    yield "run", view.run.id, baseline.run_id if baseline else "", ""


def _times(view: RunView, gating: Gating) -> Iterator[Row]:
    known = gating.baseline.times if gating.baseline else {}
    for name, key in (("TTFT p50", "ttft_p50_s"), ("TTFT p95", "ttft_p95_s"), ("TPOT p50", "tpot_p50_s")):
        own, base = getattr(view.serving, key), known.get(key)
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
