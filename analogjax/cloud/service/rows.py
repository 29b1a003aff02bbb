"""Finding rows of experiments within a transaction: locked, of one owner, or how many."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from analogjax.cloud.errors import Refused
from analogjax.cloud.service.tables import Experiment


def locked(session: Session, id: str) -> Experiment | None:
    """The row, locked until this transaction ends."""
    return session.get(Experiment, id, with_for_update=True)


def owned_row(session: Session, id: str, user: str | None = None) -> Experiment:
    """The locked row, which must be the user's if one is given. Raises `Refused` (404)."""
    return owned(locked(session, id), user)


def owned(found: Experiment | None, user: str | None = None) -> Experiment:
    """What was found, if it is the user's. Raises `Refused` (404)."""
    if found is None or user not in (None, found.user):
        # the same words, whether it is another's or nobody's
        raise Refused("There is no such experiment, or it is not yours: your list shows the ids that are yours.", 404)
    return found


def count(session: Session, *wanted: Any, of: type = Experiment) -> int:
    """Number of rows."""
    return session.scalar(sa.select(sa.func.count()).select_from(of).where(*wanted)) or 0
