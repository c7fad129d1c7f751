"""What a report is of: some runs, a suite over time, a benchmark's results, or what another package knows (a study)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from agentbench.core.errors import UserError
from agentbench.report.compare.page import runs_page
from agentbench.report.compare.view import runs_view
from agentbench.report.history.page import history_of, history_page
from agentbench.report.html import Page
from agentbench.report.run.page import page_of, run_page
from agentbench.report.run.view import run_view
from agentbench.store import Store


@dataclass(frozen=True, slots=True)
class Report:
    """A page to be made when it is wanted, and the same as JSON."""

    page: Callable[[], Page]
    to_json: Callable[[], Any]


Finder = Callable[[Store, str, str | None], Report | None]
"""Of the entry points `agentbench.reports`: the report of something by its name, None when there is none. The last
argument is where the store is, as `open_store` takes it."""


def benchmark_report(names: Sequence[str]) -> Report | None:
    """The report of benchmark files; None when no name is one. `UserError` when only some are."""
    paths = [Path(name) for name in names if name.endswith(".json") and Path(name).is_file()]
    if not paths:
        return None
    if len(paths) < len(names):
        raise UserError("benchmark files and runs can't be on one page: give either")
    # These bring scipy.stats, which takes its time.
    from agentbench.loadtest.result import read_json
    from agentbench.report.bench.page import load_page

    documents = [read_json(path) for path in paths]
    return Report(page=lambda: load_page(documents), to_json=lambda: documents)


def find_report(store: Store, names: Sequence[str], db: str | None = None) -> Report:
    """The report of the runs, of a suite or of one study. `UserError` when a name means nothing."""
    if len(names) == 1:
        return _single(store, names[0], db)
    view = runs_view(store, [store.get_run(name) for name in names])
    return Report(page=lambda: runs_page(view, store), to_json=view.to_json)


def _single(store: Store, name: str, db: str | None) -> Report:
    try:
        run = store.get_run(name)
    except UserError as error:
        for point in entry_points(group="agentbench.reports"):
            found: Report | None = point.load()(store, name, db)
            if found is not None:
                return found
        if history := history_of(store, name):
            return Report(page=lambda: history_page(history), to_json=history.to_json)
        raise UserError(str(error)) from None
    return Report(
        page=lambda: run_page(page_of(store, run)),
        to_json=lambda: run_view(store, run).to_json(),
    )
