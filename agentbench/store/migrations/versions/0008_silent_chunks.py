"""How many of a model call's first chunks brought tokens and showed nothing; none is known of calls stored before."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("model_calls", sa.Column("silent_chunks", sa.BigInteger, nullable=False, server_default="0"))
