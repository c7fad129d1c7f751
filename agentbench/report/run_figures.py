"""All that is said and drawn of a run, from one pass over its attempts."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.run import Run
from agentbench.report.chart_page import Chart
from agentbench.report.run_charts import SHOWN, began, latency_charts, timeline_chart
from agentbench.report.run_view import RunView, view_of
from agentbench.stats import Outcome
from agentbench.stats.outcomes import outcome_of
from agentbench.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """The run's numbers and its charts; `document` is the JSON of the numbers, without the cases one by one."""

    view: RunView
    charts: Mapping[str, Chart]
    document: Mapping[str, Any]


def run_figures(store: Store, run: Run) -> RunFigures:
    """The figures of a run as far as it has come."""
    drawn = _Drawn()
    view = view_of(run, drawn.outcomes(store.measured_attempts(run.id)))
    document = {name: value for name, value in view.to_json().items() if name != "cases"}
    return RunFigures(view=view, charts=drawn.charts(), document=document)


class _Drawn:
    """Keeps what the charts need of the attempts that pass by: latencies as columns, and those that began first."""

    def __init__(self) -> None:
        self._latencies = {name: array("d") for name in ("TTFT", "TPOT", "Latency of model calls")}
        self._first: list[Attempt] = []

    def outcomes(self, attempts: Iterator[Attempt]) -> Iterator[Outcome]:
        for attempt in attempts:
            outcome = outcome_of(attempt)
            values = (outcome.ttft_s, outcome.tpot_s, outcome.latency_s)
            for column, found in zip(self._latencies.values(), values, strict=True):
                column.extend(found)
            self._keep(attempt)
            yield outcome

    def _keep(self, attempt: Attempt) -> None:
        self._first.append(attempt)
        if len(self._first) >= 2 * SHOWN:
            self._first = sorted(self._first, key=began)[:SHOWN]

    def charts(self) -> dict[str, Chart]:
        found = latency_charts(self._latencies)
        timeline = timeline_chart(self._first)
        return found if timeline is None else {**found, "timeline": timeline}
