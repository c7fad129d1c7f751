"""The outcomes that pytest reported for the items of each run, including those from workers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import pytest

from agentbench.plugin.stash import HANDED_OUT_AGAIN, RECORD, SHOWN_AS

ATTRIBUTE = "agentbench"
"""User property of a report with the item's record. pytest-xdist sends it from a worker to the controller."""

ItemKind = Literal["case", "gate", "test", "suite"]
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
ItemOutcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemReport:
    """An item of a suite, or a suite that could not be collected. `run_id` is empty without a run.

    `checks` are descriptions and whether each check passed; `message` is why the item failed.
    """

    node_id: str
    suite: str
    run_id: str
    kind: ItemKind
    outcome: ItemOutcome
    rescued: bool
    checks: tuple[tuple[str, bool], ...]
    message: str


def mark_report(node: pytest.Item | pytest.Collector, report: Report) -> Report:
    if (record := node.stash.get(RECORD, None)) is not None:
        vars(report)[ATTRIBUTE] = record
    return report


class ItemReports:
    """A pytest plugin of the reporting process. When an item runs again, its last result counts."""

    NAME = "agentbench_reports"

    def __init__(self) -> None:
        self._found: dict[str, ItemReport] = {}

    @classmethod
    def of(cls, config: pytest.Config) -> "ItemReports":
        found = config.pluginmanager.get_plugin(cls.NAME)
        assert isinstance(found, cls)
        return found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        record = getattr(report, ATTRIBUTE, None)
        if record is None or report.outcome == HANDED_OUT_AGAIN:
            return
        before = None if report.when == "setup" else self._found.get(report.nodeid)
        self._found[report.nodeid] = _later(_item_report(report, record), before)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        record = getattr(report, ATTRIBUTE, None)
        if record is not None and report.outcome == "failed":
            self._found[report.nodeid] = _item_report(report, record)

    def of_run(self, run_id: str) -> Iterator[ItemReport]:
        return (each for each in self._found.values() if each.run_id == run_id)

    def failed_outside(self, run_ids: Iterable[str]) -> Iterator[ItemReport]:
        """The failed items that belong to none of these runs."""
        return (each for each in self._found.values() if each.outcome == "failed" and each.run_id not in set(run_ids))


def _item_report(report: pytest.TestReport | pytest.CollectReport, record: dict[str, Any]) -> ItemReport:
    expected = hasattr(report, "wasxfail") and report.outcome == "skipped"
    return ItemReport(
        node_id=report.nodeid,
        suite=record["suite"],
        run_id=record["run"],
        kind=record["kind"],
        outcome="passed" if expected else report.outcome,
        rescued=(SHOWN_AS, "rescued") in getattr(report, "user_properties", ()),
        checks=tuple((text, passed) for text, passed in record["checks"]),
        message=_first_line(report) if report.outcome == "failed" else "",
    )


def _later(report: ItemReport, before: ItemReport | None) -> ItemReport:
    """The item after another phase: a failure or a skip of an earlier phase remains."""
    order = ("passed", "skipped", "failed")
    if before is None or order.index(before.outcome) <= order.index(report.outcome):
        return report
    return before


def _first_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = str(report.longrepr if crash is None else crash.message).strip().splitlines()
    return lines[0] if lines else ""
