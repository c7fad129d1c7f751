"""The store: runs and attempts with raw timestamps in SQLite or PostgreSQL."""

from agentbench.store.store import AlreadyStored, Store, open_store
from agentbench.store.summary import RunSummary

__all__ = ["AlreadyStored", "RunSummary", "Store", "open_store"]
