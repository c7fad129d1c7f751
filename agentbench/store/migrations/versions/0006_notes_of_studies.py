"""Tags and notes of tuning studies."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "tuning_tags",
        sa.Column("study", sa.Text, sa.ForeignKey("tuning_studies.name"), primary_key=True),
        sa.Column("tag", sa.Text, primary_key=True),
    )
    op.create_table(
        "tuning_notes",
        sa.Column("study", sa.Text, sa.ForeignKey("tuning_studies.name"), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
