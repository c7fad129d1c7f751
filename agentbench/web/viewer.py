"""The state behind every page of the viewer: the store, cached figures, and review queues.

Figures of a run are cached until something is added to it. A reviewer's queue of attempts is drawn once.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Generic, TypeVar

from agentbench.core.attempt import Label
from agentbench.core.run import Run
from agentbench.report.html import Page
from agentbench.report.review import AgreementView, AttemptKey, ReviewSelection, agreement_view, review_queue
from agentbench.report.run.page import RunFigures, run_figures
from agentbench.store import Store

MOST = 80
"""Results that are remembered, those that were asked for last."""

T = TypeVar("T")


class ResultCache(Generic[T]):
    """The last results by key, each with the state of the store for which it is valid.

    It is thread-safe. It computes one result at a time, so that two visitors of a large run do not both compute it.
    """

    def __init__(self) -> None:
        self._cache: OrderedDict[Hashable, tuple[object, T]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, state: object, make: Callable[[], T]) -> T:
        entry = self._cache.get(key)
        if entry is not None and entry[0] == state:
            return entry[1]
        with self._lock:
            entry = self._cache.get(key)
            if entry is None or entry[0] != state:
                entry = (state, make())
            self._cache[key] = entry
            self._cache.move_to_end(key)
            while len(self._cache) > MOST:
                self._cache.popitem(last=False)
            return entry[1]


class FigureCache:
    """Caches figures and agreement of runs, comparison pages, and pages of studies."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: ResultCache[RunFigures] = ResultCache()
        self._agreements: ResultCache[AgreementView] = ResultCache()
        self._pages: ResultCache[Page] = ResultCache()

    def of(self, run: Run) -> RunFigures:
        state = self._store.listing.progress(run.id)
        return self._runs.get(run.id, state, lambda: run_figures(self._store, run))

    def agreement_on(self, run: Run) -> AgreementView:
        state = self._store.listing.progress(run.id)
        return self._agreements.get(run.id, state, lambda: agreement_view(self._store, run))

    def page_of(self, kind: str, runs: Sequence[Run], make: Callable[[], Page]) -> Page:
        """A page of this kind for these runs."""
        state = [self._store.listing.progress(run.id) for run in runs]
        return self._pages.get((kind, *(run.id for run in runs)), state, make)

    def page_of_study(self, name: str, make: Callable[[], Page]) -> Page:
        """The page of an existing study."""
        return self._pages.get(("study", name), self._store.studies.progress(name), make)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A review queue: `keys` in order, `labels` the reviewer's labels by key."""

    keys: tuple[AttemptKey, ...]
    labels: Mapping[AttemptKey, Label]

    @property
    def done(self) -> int:
        return sum(key in self.labels for key in self.keys)

    def next_after(self, key: AttemptKey | None) -> AttemptKey | None:
        """The first key without a label after `key`, wrapping around at the end; None when all have one."""
        start = self.keys.index(key) + 1 if key in self.keys else 0
        order = (*self.keys[start:], *self.keys[:start])
        return next((each for each in order if each not in self.labels and each != key), None)


class QueueCache:
    """The queues of runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queues: ResultCache[tuple[AttemptKey, ...]] = ResultCache()

    def of(self, run_id: str, selection: ReviewSelection) -> Queue:
        """The queue for `selection`, including attempts that its reviewer has labelled since."""
        progress = self._store.listing.progress(run_id)
        state = (progress.attempts, progress.last)
        drawn = replace(selection, reviewer="")
        keys = self._queues.get((run_id, drawn), state, lambda: tuple(review_queue(self._store, run_id, drawn)))
        labels = [label for label in self._store.labels(run_id) if label.reviewer == selection.reviewer]
        return Queue(keys=keys, labels={(label.case_id, label.repeat): label for label in labels})


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """`reviewer` is the default name of the reviewer; None makes the viewer read-only. `db` is the store's address for
    `open_store`. Every form that writes contains `csrf`.
    """

    store: Store
    db: str | None
    reviewer: str | None
    figures: FigureCache
    queues: QueueCache
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


def viewer_of(store: Store, db: str | None = None, *, reviewer: str | None = None) -> Viewer:
    """A viewer of an open store."""
    return Viewer(store=store, db=db, reviewer=reviewer, figures=FigureCache(store), queues=QueueCache(store))
