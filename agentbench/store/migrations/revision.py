"""The revision this package writes, known without importing Alembic."""

CURRENT = "0008"
VERSION_TABLE = "agentbench_schema"
"""Alembic's version table under a name of ours: the database may hold another program's."""
