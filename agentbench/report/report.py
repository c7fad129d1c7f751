"""Finds the report for a name: runs, a suite over time, benchmark results, or a plug-in's report (a study)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from agentbench.core.errors import UserError
from agentbench.report.compare.page import runs_page
from agentbench.report.compare.view import runs_view
from agentbench.report.history import history_page, load_history
from agentbench.report.html import Page
from agentbench.report.run.page import load_run_page, run_page
from agentbench.report.run.view import run_view
from agentbench.store import Store


@dataclass(frozen=True, slots=True)
class Report:
    """A page and its JSON, each built when it is called."""

    page: Callable[[], Page]
    to_json: Callable[[], Any]


Finder = Callable[[Store, str, str | None], Report | None]
"""An entry point of `agentbench.reports`: returns the report of a name, None when it knows no such name. The last
argument is the store's location as `open_store` takes it."""


def benchmark_report(names: Sequence[str]) -> Report | None:
    """The report of benchmark files; None when no name is a file of one. `UserError` when only some names are."""
    paths = [Path(name) for name in names if name.endswith(".json") and Path(name).is_file()]
    if not paths:
        return None
    if len(paths) < len(names):
        raise UserError("benchmark files and runs can't be on one page: give either")
    # Imported here: both import SciPy, which is slow.
    from agentbench.loadtest.result import read_json
    from agentbench.report.bench.page import load_page

    documents = [read_json(path) for path in paths]
    return Report(page=lambda: load_page(documents), to_json=lambda: documents)


def find_report(store: Store, names: Sequence[str], db: str | None = None) -> Report:
    """The report of several runs, or of one run, suite or study. `UserError` when a name is unknown."""
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
        if history := load_history(store, name):
            return Report(page=lambda: history_page(history), to_json=history.to_json)
        raise UserError(str(error)) from None
    return Report(
        page=lambda: run_page(load_run_page(store, run)),
        to_json=lambda: run_view(store, run).to_json(),
    )
