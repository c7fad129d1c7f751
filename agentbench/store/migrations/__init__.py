"""Alembic's migrations of the store. A new revision needs a file in versions/ and a new `revision.CURRENT`."""
