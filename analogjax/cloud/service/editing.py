"""What an owner changes of an experiment without touching its run: its name, tags and notes, and who may read it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa

from analogjax.cloud.errors import Refused
from analogjax.cloud.service.rows import owned_row
from analogjax.cloud.service.tables import Database, Experiment, Share, User


def edit(
    database: Database, user: str, id: str, name: str | None, tags: Sequence[str] | None, notes: str | None
) -> Experiment:
    """Change what is given. Raises `Refused` (404)."""
    with database.transaction() as session:
        found = owned_row(session, id, user)
        found.name = found.name if name is None else name
        found.notes = found.notes if notes is None else notes
        if tags is not None:
            found.tags = json.dumps(sorted(set(tags)), ensure_ascii=False)
        return found


def share(database: Database, user: str, id: str, name: str) -> None:
    """Let the user of that name read the experiment. Raises `Refused` (404, 422)."""
    with database.transaction() as session:
        owned_row(session, id, user)
        other = session.scalar(sa.select(User).where(User.name == name))
        if other is None:
            raise Refused(f"There is no user {name[:64]!r}: ask the operator how they are called here.", 404)
        if other.id == user:
            raise Refused("The experiment is yours: share it with somebody else.", 422)
        session.merge(Share(experiment=id, user=other.id))


def unshare(database: Database, user: str, id: str, name: str) -> None:
    """End that; nothing happens if it was not shared with them. Raises `Refused` (404)."""
    with database.transaction() as session:
        owned_row(session, id, user)
        other = sa.select(User.id).where(User.name == name).scalar_subquery()
        session.execute(sa.delete(Share).where(Share.experiment == id, Share.user == other))


def readers(database: Database, id: str) -> list[str]:
    """Names of the users with whom an experiment is shared."""
    query = sa.select(User.name).join(Share, Share.user == User.id).where(Share.experiment == id).order_by(User.name)
    with database.reading() as session:
        return list(session.scalars(query))
