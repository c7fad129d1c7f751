"""Figures of runs, worked out once for as long as nothing is added to the run."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from agentbench.report.agreement_view import AgreementView, agreement_view
from agentbench.report.chart_page import Page
from agentbench.report.run_figures import RunFigures, run_figures
from agentbench.run import Run
from agentbench.store import Store

KEPT = 80
"""Results that are remembered, those that were asked for last."""

T = TypeVar("T")


class Remembered(Generic[T]):
    """The last results by key, each with the state of the store that it is true of.

    Safe among threads. One result at a time is worked out, so that two visitors of a large run do not both do it.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[object, T]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, state: object, make: Callable[[], T]) -> T:
        known = self._known.get(key)
        if known is not None and known[0] == state:
            return known[1]
        with self._lock:
            known = self._known.get(key)
            if known is None or known[0] != state:
                known = (state, make())
            self._known[key] = known
            self._known.move_to_end(key)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return known[1]


class FigureCache:
    """The figures of runs, the agreement on them, pages of several of them, and pages of studies."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: Remembered[RunFigures] = Remembered()
        self._agreements: Remembered[AgreementView] = Remembered()
        self._pages: Remembered[Page] = Remembered()

    def of(self, run: Run) -> RunFigures:
        state = self._store.listing.progress(run.id)
        return self._runs.get(run.id, state, lambda: run_figures(self._store, run))

    def agreement_on(self, run: Run) -> AgreementView:
        state = self._store.listing.progress(run.id)
        return self._agreements.get(run.id, state, lambda: agreement_view(self._store, run))

    def page_of(self, kind: str, runs: Sequence[Run], make: Callable[[], Page]) -> Page:
        """A page of this kind that shows these runs."""
        state = [self._store.listing.progress(run.id) for run in runs]
        return self._pages.get((kind, *(run.id for run in runs)), state, make)

    def page_of_study(self, name: str, make: Callable[[], Page]) -> Page:
        """The page of a study that there is."""
        return self._pages.get(("study", name), self._store.studies.progress(name), make)
