"""Deletion: a record goes at once, and leaves a note in the table `discarded` until its files are removed.

So nothing is lost when the service is killed in between, and an id is free again only when nothing of it is left.
"""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from analogjax.cloud.errors import Refused
from analogjax.cloud.service.rows import owned_row
from analogjax.cloud.service.tables import Database, Discarded, Epoch, Experiment, Share

_ENDED = ("completed", "failed", "cancelled")
_AT_ONCE = 500


def delete(database: Database, user: str, id: str) -> None:
    """Delete an experiment that has ended, or a draft. Raises `Refused` (404, 409)."""
    with database.transaction() as session:
        found = owned_row(session, id, user)
        if found.status not in (*_ENDED, "draft"):
            raise Refused(f"The experiment is {found.status}: cancel it, then delete it.", 409)
        reader = session.scalar(sa.select(Experiment.id).where(_reads(id)).limit(1))
        if reader is not None:
            raise Refused(f"Experiment {reader} still reads its weights: wait until that has ended.", 409)
        _discard(session, [id])


def forget_drafts(database: Database, older: float = 86_400.0) -> list[str]:
    """Delete the drafts that were not submitted within `older` seconds, cancelled ones too; returns their ids."""
    return _delete_all(database, Experiment.queued.is_(None), Experiment.created < time.time() - older)


def expire(database: Database, older: float) -> list[str]:
    """Delete the experiments that ended more than `older` seconds ago; returns their ids."""
    return _delete_all(database, Experiment.status.in_(_ENDED), Experiment.ended < time.time() - older)


def discarded(database: Database) -> list[Discarded]:
    """Those whose files are still to be removed."""
    with database.reading() as session:
        return list(session.scalars(sa.select(Discarded)))


def removed(database: Database, id: str) -> None:
    """Note that nothing is left of its files."""
    with database.transaction() as session:
        session.execute(sa.delete(Discarded).where(Discarded.id == id))


def _delete_all(database: Database, *wanted: Any) -> list[str]:
    with database.transaction() as session:
        query = sa.select(Experiment.id).where(*wanted).order_by(Experiment.created).limit(_AT_ONCE)
        ids = [id for id in session.scalars(query) if not session.scalar(sa.select(Experiment.id).where(_reads(id)))]
        _discard(session, ids)
    return ids


def _reads(id: str) -> Any:
    """Condition for an active inference that reads the weights of the training `id`."""
    active = Experiment.status.in_(("waiting", "running"))
    return sa.and_(active, Experiment.category == "inference", Experiment.description.contains(f'"trained":"{id}"'))


def _discard(session: Session, ids: list[str]) -> None:
    for id, attempt in session.execute(sa.select(Experiment.id, Experiment.attempt).where(Experiment.id.in_(ids))):
        session.merge(Discarded(id=id, attempts=attempt))
    session.flush()
    for table, column in ((Epoch, Epoch.experiment), (Share, Share.experiment), (Experiment, Experiment.id)):
        session.execute(sa.delete(table).where(column.in_(ids)))
