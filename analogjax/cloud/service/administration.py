"""What an operator sees and does, next to the running service: users, the queue, files, maintenance."""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa

from analogjax.cloud.errors import CloudError
from analogjax.cloud.service.ledger import ACTIVE, DRAINING
from analogjax.cloud.service.tables import Database, Experiment, Setting, User


@dataclass(frozen=True)
class Account:
    """A user and what they occupy."""

    name: str
    disabled: bool
    queued: int
    experiments: int
    stored: int  # [bytes]


def accounts(database: Database) -> list[Account]:
    """All users, those with the most files first."""
    active = sa.func.coalesce(sa.func.sum(sa.case((Experiment.status.in_(ACTIVE), 1), else_=0)), 0)
    stored = sa.func.coalesce(sa.func.sum(Experiment.stored), 0)
    query = sa.select(User.name, User.disabled, active, sa.func.count(Experiment.id), stored)
    query = query.outerjoin(Experiment, Experiment.user == User.id).group_by(User.id, User.name, User.disabled)
    with database.reading() as session:
        rows = session.execute(query.order_by(stored.desc(), User.name)).all()
    return [Account(name, off is not None, int(queued), number, int(size)) for name, off, queued, number, size in rows]


def disable(database: Database, name: str, *, off: bool = True) -> None:
    """Refuse all tokens and sessions of a user, or take them again. Raises `CloudError` for an unknown one."""
    with database.transaction() as session:
        found = session.scalar(sa.select(User).where(User.name == name))
        if found is None:
            raise CloudError(f"There is no user {name[:64]!r}: `analogjax cloud admin users` lists them.")
        found.disabled = time.time() if off else None


def queue(database: Database) -> list[tuple[Experiment, str]]:
    """Experiments that run or wait, with the names of their owners, oldest first."""
    query = sa.select(Experiment, User.name).join(User, User.id == Experiment.user)
    query = query.where(Experiment.status.in_(ACTIVE)).order_by(~Experiment.dispatched, Experiment.queued)
    with database.reading() as session:
        return [(one, name) for one, name in session.execute(query)]


def largest(database: Database, number: int = 20) -> list[tuple[Experiment, str]]:
    """The experiments with the most files, as last counted, with the names of their owners."""
    query = sa.select(Experiment, User.name).join(User, User.id == Experiment.user).where(Experiment.stored > 0)
    with database.reading() as session:
        rows = session.execute(query.order_by(Experiment.stored.desc(), Experiment.id).limit(number))
        return [(one, name) for one, name in rows]


def drain(database: Database, why: str | None) -> None:
    """Let no experiment start, for the reason that users are shown; `None`: let them start again. What runs goes on."""
    with database.transaction() as session:
        if why is None:
            session.execute(sa.delete(Setting).where(Setting.name == DRAINING))
        else:
            session.merge(Setting(name=DRAINING, value=why))
