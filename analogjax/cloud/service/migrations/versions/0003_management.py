"""What users and operators manage: names, tags and notes, shares, deletion, disabled users; columns to sort by."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _new() -> tuple[sa.Column, ...]:
    """Columns of experiments, made for one upgrade."""
    return (
        sa.Column("dataset", sa.Text()),
        sa.Column("tags", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("notes", sa.Text(), nullable=False, server_default=""),
        sa.Column("epochs_done", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("accuracy", sa.Double()),
        sa.Column("epoch_seconds", sa.Double()),
        sa.Column("stored", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("tidied", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


_experiments = sa.table(
    "experiments", sa.column("id"), sa.column("description"), sa.column("dataset"), sa.column("epochs_done"),
    sa.column("accuracy"), sa.column("epoch_seconds"),
)  # fmt: skip
_epochs = sa.table("epochs", sa.column("experiment"), sa.column("epoch"), sa.column("metrics"))


def upgrade() -> None:
    """Add them, and fill the columns that follow from what is there."""
    for column in _new():
        op.add_column("experiments", column)
    op.add_column("users", sa.Column("disabled", sa.Double()))
    op.create_table(
        "shares",
        sa.Column("experiment", sa.Text(), sa.ForeignKey("experiments.id"), primary_key=True),
        sa.Column("user", sa.Text(), sa.ForeignKey("users.id"), primary_key=True),
    )
    op.create_index("ix_shares_user", "shares", ["user"])
    op.create_table(
        "discarded",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
    )
    _fill()


def _fill() -> None:
    connection = op.get_bind()
    ends = (
        sa.select(_epochs.c.experiment, sa.func.count().label("number"), sa.func.max(_epochs.c.epoch).label("last"))
        .group_by(_epochs.c.experiment)
        .subquery()
    )
    last = sa.and_(_epochs.c.experiment == ends.c.experiment, _epochs.c.epoch == ends.c.last)
    rows = connection.execute(sa.select(ends.c.experiment, ends.c.number, _epochs.c.metrics).join(ends, last))
    progress = {id: (number, json.loads(metrics)) for id, number, metrics in rows}
    described = connection.execute(sa.select(_experiments.c.id, _experiments.c.description))
    for id, description in described.fetchall():
        number, metrics = progress.get(id, (0, {}))
        dataset = None if description is None else json.loads(description).get("dataset")
        connection.execute(
            sa.update(_experiments)
            .where(_experiments.c.id == id)
            .values(
                dataset=dataset, epochs_done=number, accuracy=metrics.get("accuracy"),
                epoch_seconds=metrics.get("time_epoch"),
            )
        )  # fmt: skip
