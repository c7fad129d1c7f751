"""Alembic's migrations of the store. A new revision: a file in versions/, and `revision.CURRENT`."""
