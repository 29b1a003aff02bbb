"""Lists of experiments: searched, filtered, sorted, by pages; the place of each in the queue; what a user occupies."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from analogjax.cloud.service.tables import Database, Experiment, Share, User

SORTS: dict[str, Any] = {
    "created": Experiment.created, "name": sa.func.lower(Experiment.name), "status": Experiment.status,
    "dataset": Experiment.dataset, "accuracy": Experiment.accuracy, "epochs": Experiment.epochs_done,
    "started": Experiment.started, "ended": Experiment.ended, "stored": Experiment.stored,
}  # fmt: skip


@dataclass(frozen=True)
class Query:
    """Which experiments, and in which order."""

    scope: Literal["mine", "shared", "all"] = "mine"
    search: str = ""
    status: tuple[str, ...] = ()
    category: str | None = None
    tag: str | None = None
    dataset: str | None = None
    before: float | None = None  # created before
    sort: str = "created"
    descending: bool = True
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True)
class Usage:
    """What a user occupies."""

    stored: int  # [bytes] in the store
    queued: int
    drafts: int  # never submitted, cancelled or not


def page(database: Database, user: str, query: Query) -> tuple[list[Experiment], int]:
    """One page of what the user may read (no drafts), and how many there are in all."""
    wanted = sa.and_(*_wanted(user, query))
    column = SORTS[query.sort]
    order = (column.desc() if query.descending else column.asc()).nulls_last()
    rows = sa.select(Experiment).where(wanted).order_by(order, Experiment.id).limit(query.limit).offset(query.offset)
    with database.reading() as session:
        total = session.scalar(sa.select(sa.func.count()).select_from(Experiment).where(wanted)) or 0
        return list(session.scalars(rows)), total


def _wanted(user: str, query: Query) -> list[Any]:
    mine = Experiment.user == user
    shared = Experiment.id.in_(sa.select(Share.experiment).where(Share.user == user))
    wanted: list[Any] = [{"mine": mine, "shared": shared, "all": sa.or_(mine, shared)}[query.scope]]
    wanted.append(Experiment.status.in_(query.status) if query.status else Experiment.status != "draft")
    for word in query.search.split():
        columns = (Experiment.name, Experiment.id, Experiment.notes, Experiment.tags, Experiment.dataset)
        wanted.append(sa.or_(*(column.icontains(word, autoescape=True) for column in columns)))
    if query.tag is not None:
        wanted.append(Experiment.tags.icontains(json.dumps(query.tag, ensure_ascii=False), autoescape=True))
    wanted += [Experiment.category == query.category] if query.category is not None else []
    wanted += [Experiment.dataset == query.dataset] if query.dataset is not None else []
    wanted += [Experiment.created < query.before] if query.before is not None else []
    return wanted


def names(database: Database, users: Collection[str]) -> dict[str, str]:
    """Names of users by id."""
    with database.reading() as session:
        rows = session.execute(sa.select(User.id, User.name).where(User.id.in_(set(users))))
        return {id: name for id, name in rows}


def places(database: Database) -> dict[str, int]:
    """For each experiment that waits for an engine, its place in the queue, from 1, if nothing else is submitted.

    The queue takes the oldest experiment of the user who has the fewest in the engine (`Ledger.claim`); so the n-th of
    a user who has k in it comes with those of others whose n + k is the same.
    """
    active = sa.select(Experiment.id, Experiment.user, Experiment.status, Experiment.dispatched)
    active = active.where(Experiment.status.in_(("waiting", "running"))).order_by(Experiment.queued, Experiment.id)
    with database.reading() as session:
        rows = session.execute(active).all()
    taken = Counter(user for _, user, _, dispatched in rows if dispatched)
    ahead = []
    for n, (id, user, _, dispatched) in enumerate(rows):
        if not dispatched:
            ahead.append((taken[user], n, id))
            taken[user] += 1
    return {id: place for place, (_, _, id) in enumerate(sorted(ahead), 1)}


def usage(database: Database, user: str) -> Usage:
    """What a user occupies."""
    active = sa.case((Experiment.status.in_(("waiting", "running")), 1), else_=0)
    drafts = sa.case((Experiment.queued.is_(None), 1), else_=0)
    sums = (sa.func.coalesce(sa.func.sum(column), 0) for column in (Experiment.stored, active, drafts))
    with database.reading() as session:
        stored, queued, number = session.execute(sa.select(*sums).where(Experiment.user == user)).one()
    return Usage(int(stored), int(queued), int(number))


def queue_age(database: Database) -> float:
    """How long the oldest experiment has been waiting for an engine [s]; 0 if none is."""
    waiting = sa.and_(Experiment.status == "waiting", ~Experiment.dispatched)
    with database.reading() as session:
        oldest = session.scalar(sa.select(sa.func.min(Experiment.queued)).where(waiting))
    return 0.0 if oldest is None else max(0.0, time.time() - oldest)


def all_stored(database: Database) -> int:
    """Files of all experiments, as last counted [bytes]."""
    with database.reading() as session:
        return int(session.scalar(sa.select(sa.func.sum(Experiment.stored))) or 0)
