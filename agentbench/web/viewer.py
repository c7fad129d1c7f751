"""What every page of the viewer stands on: the store, what was worked out of it, and what visitors may do."""

import secrets
from dataclasses import dataclass, field

from agentbench.store import Store
from agentbench.web.figures import FigureCache
from agentbench.web.queue import QueueCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """`reviewer` is who labels where a visitor gives no other name; None makes the viewer read-only. `db` is where the
    store is, as `open_store` takes it. `csrf` is in every form that writes."""

    store: Store
    db: str | None
    reviewer: str | None
    figures: FigureCache
    queues: QueueCache
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


def viewer_of(store: Store, db: str | None = None, *, reviewer: str | None = None) -> Viewer:
    """A viewer of an open store."""
    return Viewer(store=store, db=db, reviewer=reviewer, figures=FigureCache(store), queues=QueueCache(store))
