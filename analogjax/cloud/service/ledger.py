"""The states of experiments: every change is one transaction, whoever requests it and however often.

    draft -> waiting -> running -> completed | failed | cancelled
                ^          |
                +----------+  an attempt was lost: the next one resumes from its last checkpoint

An attempt has a number, so that reports of earlier attempts are ignored, and a lease, which its worker renews.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from analogjax.cloud.errors import Refused
from analogjax.cloud.quota import Limits
from analogjax.cloud.service.tables import Database, Epoch, Experiment
from analogjax.cloud.service.tokens import digest

ENDED = ("completed", "failed", "cancelled")
ACTIVE = ("waiting", "running")
_TIME_LIMIT = "the time limit"  # how the reason begins of one that ran too long


@dataclass(frozen=True)
class Claim:
    """An attempt to be submitted to an engine."""

    experiment: str
    attempt: int
    secret: str
    device: str
    description: str


class Superseded(Refused):
    """A report by an attempt that is no longer the current one: it must stop, and write nothing more."""


class Ledger:
    """The states of all experiments."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self.database, self.limits = database, limits

    def create(self, user: str, name: str, category: str, *, device: str = "gpu", id: str | None = None) -> Experiment:
        """Create a draft. Raises `Refused` if the user has too many."""
        with self.database.transaction() as session:
            drafts = _count(session, Experiment.user == user, Experiment.status == "draft")
            if drafts >= self.limits.drafts_each:
                raise Refused("Too many experiments without an input: submit or wait a day.", 429)
            made = _draft(id or secrets.token_hex(16), user, name, category, device)
            session.add(made)
        return made

    def describe(self, id: str, description: str, epochs: int, device: str | None = None) -> None:
        """Add the protobuf input of a draft. Raises `Refused` once it was submitted."""
        with self.database.transaction() as session:
            found = _found(session, id)
            if found.status != "draft":
                raise Refused("The experiment was submitted already: its input can't change.", 409)
            found.description, found.has_payload, found.epochs_planned = description, True, epochs
            found.device = device or found.device

    def submit(self, user: str, id: str, device: str | None = None) -> Experiment:
        """Queue a draft; one that was already submitted stays as it is. Raises `Refused`."""
        with self.database.transaction() as session:
            found = _found(session, id, user)
            if found.status != "draft":
                return found
            if found.description is None:
                raise Refused("The experiment has no valid input yet: upload it first.", 409)
            self._queue(session, found)
            found.device = device or found.device
            return found

    def may_make(self, user: str, id: str) -> bool:
        """Whether this id is unused, or belongs to the user."""
        with self.database.reading() as session:
            found = session.get(Experiment, id)
            return found is None or found.user == user

    def put(
        self, user: str, id: str, name: str, device: str, description: str, epochs: int, category: str = "train"
    ) -> tuple[Experiment, bool]:
        """Create and queue an experiment under an id made by the client; repeating it with the same content has no
        effect.

        Returns the experiment, and whether it is new. Raises `Refused` for an id that is taken.
        """
        made = _draft(id, user, name, category, device)
        made.description, made.epochs_planned = description, epochs
        try:
            return self._put(made)
        except sa.exc.IntegrityError:  # two made it at a time, and the other one was first
            return self._put(made)

    def _put(self, made: Experiment) -> tuple[Experiment, bool]:
        with self.database.transaction() as session:
            found = _locked(session, made.id)
            if found is None:
                self._queue(session, made)
                session.add(made)
                return made, True
            if found.user != made.user or (found.description, found.name) != (made.description, made.name):
                raise Refused("There is another experiment with this id: make a new id.", 409)
            return found, False

    def get(self, user: str, id: str) -> Experiment:
        """An experiment of the user. Raises `Refused` (404) for any other."""
        with self.database.reading() as session:
            return _owned(session.get(Experiment, id), user)

    def find(self, id: str) -> Experiment:
        """An experiment of any user. Raises `Refused` (404)."""
        with self.database.reading() as session:
            return _owned(session.get(Experiment, id))

    def of_user(self, user: str, *, limit: int = 1000, before: float | None = None) -> list[Experiment]:
        """The submitted experiments of a user, newest first."""
        wanted = [Experiment.user == user, Experiment.status != "draft"]
        wanted += [Experiment.created < before] if before is not None else []
        query = sa.select(Experiment).where(*wanted).order_by(Experiment.created.desc(), Experiment.id).limit(limit)
        with self.database.reading() as session:
            return list(session.scalars(query))

    def epochs(self, id: str, after: int = -1) -> list[dict[str, Any]]:
        """Metrics of the epochs after number `after`."""
        query = sa.select(Epoch).where(Epoch.experiment == id, Epoch.epoch > after).order_by(Epoch.epoch)
        with self.database.reading() as session:
            return [json.loads(row.metrics) for row in session.scalars(query)]

    def progress(self, ids: Sequence[str]) -> dict[str, tuple[int, dict[str, Any]]]:
        """For each experiment with epochs: how many, and the metrics of the last one."""
        last = sa.select(Epoch.experiment, sa.func.count().label("number"), sa.func.max(Epoch.epoch).label("last"))
        ends = last.where(Epoch.experiment.in_(ids)).group_by(Epoch.experiment).subquery()
        ended = sa.and_(Epoch.experiment == ends.c.experiment, Epoch.epoch == ends.c.last)
        with self.database.reading() as session:
            rows = session.execute(sa.select(Epoch.experiment, ends.c.number, Epoch.metrics).join(ends, ended))
            return {id: (number, json.loads(metrics)) for id, number, metrics in rows}

    def cancel(self, user: str, id: str) -> Experiment:
        """End an experiment: at once if it is waiting, else when its worker has stopped. Ended ones stay so."""
        with self.database.transaction() as session:
            found = _found(session, id, user)
            if found.status == "draft" or (found.status == "waiting" and not found.dispatched):
                _end(found, "cancelled", "cancelled by its owner before it ran")
            elif found.status in ACTIVE:
                found.cancelling, found.reason = True, found.reason or "cancelled by its owner"
            return found

    # What the dispatcher does

    def claim(self) -> Claim | None:
        """Begin an attempt of the next experiment, to be submitted to an engine; `None` if none is waiting.

        Next is the oldest experiment of the user who has the fewest in the engine.
        """
        now = time.time()
        with self.database.transaction() as session:
            found = _next(session, now)
            if found is None:
                return None
            secret = secrets.token_urlsafe(32)
            found.attempt, found.dispatched, found.secret = found.attempt + 1, True, digest(secret)
            found.lease, found.alive = now + self.limits.lease, None
            found.reached = _count(session, Epoch.experiment == found.id, of=Epoch)
            assert found.description is not None  # only described ones are queued
            return Claim(found.id, found.attempt, secret, found.device, found.description)

    def unclaim(self, claim: Claim, wait: float) -> None:
        """Return an experiment that the engine could not take: it waits again, for at least `wait` seconds, and no
        attempt is counted.
        """
        with self.database.transaction() as session:
            found = _current(session, claim.experiment, claim.attempt)
            if found is not None:
                found.dispatched, found.not_before = False, time.time() + wait

    def dispatched(self) -> list[Experiment]:
        """The experiments whose current attempt is in the engine."""
        query = sa.select(Experiment).where(Experiment.status.in_(ACTIVE), Experiment.dispatched)
        with self.database.reading() as session:
            return list(session.scalars(query))

    def number_dispatched(self) -> int:
        """How many those are."""
        with self.database.reading() as session:
            return _count(session, Experiment.status.in_(ACTIVE), Experiment.dispatched)

    def heard_since(self, seen: Experiment) -> bool:
        """Whether its attempt has sent a heartbeat, or ended, since it was read."""
        with self.database.reading() as session:
            found = session.get(Experiment, seen.id)
            return found is None or (found.attempt, found.lease) != (seen.attempt, seen.lease)

    def probe(self) -> None:
        """Do what a heartbeat needs of the database, without changing anything."""
        with self.database.transaction() as session:
            session.execute(sa.text("SELECT 1"))

    def finish(
        self, id: str, attempt: int, status: str, reason: str | None, epochs: Iterable[Mapping[str, Any]]
    ) -> bool:
        """End the experiment with the outcome of its current attempt; `False` if that is no longer the current one, or
        has ended.
        """
        with self.database.transaction() as session:
            found = _current(session, id, attempt)
            if found is None:
                return False
            _write_epochs(session, id, epochs, exactly=True)
            if status == "cancelled":
                _end_stopped(found, reason)
            else:
                _end(found, status, reason)
            return True

    def lost(self, id: str, attempt: int, why: str) -> None:
        """Note that the current attempt ended without a result: the next one resumes, or the experiment has failed."""
        with self.database.transaction() as session:
            found = _current(session, id, attempt)
            if found is None:
                return
            if found.cancelling:
                _end_stopped(found, None)
                return
            went_on = _count(session, Epoch.experiment == id, of=Epoch) > found.reached
            found.stalled = 0 if went_on else found.stalled + 1
            if found.stalled >= self.limits.attempts:
                _end(found, "failed", f"{why}; {found.stalled} attempts in a row came no further")
                return
            found.status, found.dispatched, found.secret, found.lease = "waiting", False, None, None
            found.not_before = time.time() + self.limits.backoff * 2 ** max(0, found.stalled - 1)

    def fail(self, id: str, attempt: int, reason: str) -> None:
        """End the experiment as failed."""
        self.finish(id, attempt, "failed", reason, self.epochs(id))

    def stop_late(self, experiment: Experiment) -> bool:
        """Begin to end an experiment that has run for too long; returns whether it has."""
        begun = experiment.started
        if begun is None or time.time() - begun < self.limits.seconds or experiment.cancelling:
            return False
        with self.database.transaction() as session:
            found = _current(session, experiment.id, experiment.attempt)
            if found is not None:
                found.cancelling = True
                found.reason = f"{_TIME_LIMIT} of {self.limits.seconds:g} s was reached"
        return True

    def forget_drafts(self, older: float = 86_400.0) -> list[str]:
        """Remove the drafts not submitted within `older` seconds; returns their ids."""
        old = sa.and_(Experiment.status == "draft", Experiment.created < time.time() - older)
        with self.database.transaction() as session:
            ids = list(session.scalars(sa.select(Experiment.id).where(old)))
            session.execute(sa.delete(Experiment).where(Experiment.id.in_(ids)))
        return ids

    # Reports of workers

    def check_worker(self, id: str, attempt: int, secret: str) -> None:
        """Raise `Superseded` for any attempt but the current one, `Refused` without the right secret."""
        with self.database.reading() as session:
            _check_secret(_owned(session.get(Experiment, id)), attempt, secret)

    def beat(self, id: str, attempt: int, secret: str, epochs: Sequence[Mapping[str, Any]]) -> bool:
        """Process a heartbeat of an attempt, with its new epochs; returns whether it should stop.

        Raises `Superseded` for any attempt but the current one, `Refused` without the right secret.
        """
        now = time.time()
        with self.database.transaction() as session:
            found = _found(session, id)
            _check_secret(found, attempt, secret)
            found.status, found.alive, found.lease = "running", now, now + self.limits.lease
            found.started = found.started or now
            _write_epochs(session, id, epochs, exactly=False)
            return found.cancelling

    def counts(self) -> dict[str, int]:
        """Number of experiments in each state."""
        query = sa.select(Experiment.status, sa.func.count()).group_by(Experiment.status)
        with self.database.reading() as session:
            return {status: number for status, number in session.execute(query)}

    def _queue(self, session: Session, found: Experiment) -> None:
        active = Experiment.status.in_(ACTIVE)
        if _count(session, active) >= self.limits.queued:
            raise Refused(f"The queue is full ({self.limits.queued} experiments): try again later.", 429)
        if _count(session, active, Experiment.user == found.user) >= self.limits.queued_each:
            raise Refused(f"You have {self.limits.queued_each} experiments in the queue: wait for some to end.", 429)
        found.status, found.queued = "waiting", time.time()


def _draft(id: str, user: str, name: str, category: str, device: str) -> Experiment:
    return Experiment(
        id=id, user=user, name=name, category=category, device=device, created=time.time(), description=None,
        has_payload=False, status="draft", reason=None, epochs_planned=0, queued=None, not_before=0.0, started=None,
        ended=None, attempt=0, dispatched=False, lease=None, alive=None, secret=None, stalled=0, reached=0,
        cancelling=False,
    )  # fmt: skip


def _locked(session: Session, id: str) -> Experiment | None:
    """The row, locked until this transaction ends."""
    return session.get(Experiment, id, with_for_update=True)


def _found(session: Session, id: str, user: str | None = None) -> Experiment:
    return _owned(_locked(session, id), user)


def _owned(found: Experiment | None, user: str | None = None) -> Experiment:
    if found is None or user not in (None, found.user):
        raise Refused("There is no such experiment.", 404)  # the same words, whether it is another's or nobody's
    return found


def _check_secret(found: Experiment, attempt: int, secret: str) -> None:
    if found.attempt != attempt or found.status not in ACTIVE or not found.dispatched:
        raise Superseded("This attempt is no longer the current one.", 409)
    if not hmac.compare_digest(found.secret or "", digest(secret)):
        raise Refused("This is not the secret of this attempt.", 403)


def _current(session: Session, id: str, attempt: int) -> Experiment | None:
    found = _locked(session, id)
    going = found is not None and found.attempt == attempt and found.status in ACTIVE and found.dispatched
    return found if going else None


def _count(session: Session, *wanted: Any, of: type = Experiment) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(of).where(*wanted)) or 0


def _next(session: Session, now: float) -> Experiment | None:
    with_engine = (
        sa.select(Experiment.user, sa.func.count().label("number"))
        .where(Experiment.status.in_(ACTIVE), Experiment.dispatched)
        .group_by(Experiment.user)
        .subquery()
    )
    ready = (Experiment.status == "waiting", ~Experiment.dispatched, Experiment.not_before <= now)
    query = sa.select(Experiment).outerjoin(with_engine, with_engine.c.user == Experiment.user).where(*ready)
    order = (sa.func.coalesce(with_engine.c.number, 0), Experiment.queued, Experiment.id)
    return session.scalars(query.order_by(*order).limit(1).with_for_update(of=Experiment, skip_locked=True)).first()


def _end(found: Experiment, status: str, reason: str | None) -> None:
    found.status, found.reason, found.ended = status, reason, time.time()
    found.dispatched, found.secret, found.lease, found.cancelling = False, None, None, False


def _end_stopped(found: Experiment, reason: str | None) -> None:
    """End an experiment that was asked to stop: by its owner, or by the time limit, which counts as a failure."""
    late = (found.reason or "").startswith(_TIME_LIMIT)
    _end(found, "failed" if late else "cancelled", found.reason or reason)


def _write_epochs(session: Session, id: str, epochs: Iterable[Mapping[str, Any]], *, exactly: bool) -> None:
    """Store these epochs; with `exactly`, no others."""
    entries = {int(entry["epoch"]): json.dumps(dict(entry)) for entry in epochs}
    if exactly:
        session.execute(sa.delete(Epoch).where(Epoch.experiment == id, Epoch.epoch.not_in(list(entries))))
    for number, metrics in entries.items():
        session.merge(Epoch(experiment=id, epoch=number, metrics=metrics))
