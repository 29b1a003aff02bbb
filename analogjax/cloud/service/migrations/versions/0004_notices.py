"""Whether the end of an experiment was told to the webhook."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    op.add_column("experiments", sa.Column("told", sa.Boolean(), nullable=False, server_default=sa.false()))
