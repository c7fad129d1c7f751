"""The store: runs and attempts with raw timestamps in SQLite or PostgreSQL."""

from agentbench.store.listing import RunSummary
from agentbench.store.store import AlreadyStored, Store, open_store

__all__ = ["AlreadyStored", "RunSummary", "Store", "open_store"]
