"""The attempts that a reviewer goes through, drawn once and then walked along."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentbench.report.review_queue import Key, Wanted, review_queue
from agentbench.score import Label
from agentbench.store import Store
from agentbench.web.figures import Remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """`keys` in their order, `labels` those of the reviewer by key."""

    keys: tuple[Key, ...]
    labels: Mapping[Key, Label]

    @property
    def done(self) -> int:
        return sum(key in self.labels for key in self.keys)

    def next_after(self, key: Key | None) -> Key | None:
        """The first one without a label behind `key`, from the front again at the end; None when all have one."""
        start = self.keys.index(key) + 1 if key in self.keys else 0
        order = (*self.keys[start:], *self.keys[:start])
        return next((each for each in order if each not in self.labels and each != key), None)


class QueueCache:
    """The queues of runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: Remembered[tuple[Key, ...]] = Remembered()

    def of(self, run_id: str, wanted: Wanted) -> Queue:
        """With everything in it that `wanted` draws, also what its reviewer has labelled since."""
        progress = self._store.listing.progress(run_id)
        state = (progress.attempts, progress.last)
        drawn = replace(wanted, reviewer="")
        keys = self._known.get((run_id, drawn), state, lambda: tuple(review_queue(self._store, run_id, drawn)))
        labels = [label for label in self._store.labels(run_id) if label.reviewer == wanted.reviewer]
        return Queue(keys=keys, labels={(label.case_id, label.repeat): label for label in labels})
