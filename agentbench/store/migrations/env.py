"""Alembic runs this for each command: it migrates in the transaction of the connection it receives."""

from alembic import context

from agentbench.store.migrations.revision import VERSION_TABLE
from agentbench.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
