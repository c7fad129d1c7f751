"""The schema revision of this package, available without importing Alembic."""

CURRENT = "0008"
VERSION_TABLE = "agentbench_schema"
"""Our name for Alembic's version table, since the database may contain another program's."""
