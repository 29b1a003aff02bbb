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
from analogjax.cloud.service.epochs import write_epochs
from analogjax.cloud.service.rows import count, locked, owned, owned_row
from analogjax.cloud.service.tables import Database, Discarded, Experiment, Setting, Share
from analogjax.cloud.service.tokens import digest

ENDED = ("completed", "failed", "cancelled")
ACTIVE = ("waiting", "running")
DRAINING = "draining"  # the setting
_LONGEST_PAUSE = 300.0  # [s] between two attempts
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
            # cancelled ones count until they are deleted: they may have an input
            drafts = count(session, Experiment.user == user, Experiment.queued.is_(None))
            if drafts >= self.limits.drafts_each:
                raise Refused(
                    f"You have {drafts} experiments that were never submitted, of {self.limits.drafts_each} allowed: "
                    "delete or submit some, or wait a day.", 429,
                )  # fmt: skip
            made = _draft(id or secrets.token_hex(16), user, name, category, device)
            session.add(made)
        return made

    def describe(self, id: str, description: str, epochs: int, device: str | None = None, stored: int = 0) -> None:
        """Add the protobuf input of a draft, `stored` bytes. Raises `Refused` once it was submitted."""
        with self.database.transaction() as session:
            found = owned_row(session, id)
            if found.status != "draft":
                raise Refused("The experiment was submitted already: its input can't change.", 409)
            found.description, found.has_payload, found.epochs_planned = description, True, epochs
            found.dataset, found.stored = _dataset(description), stored
            found.device = device or found.device

    def submit(self, user: str, id: str, device: str | None = None) -> Experiment:
        """Queue a draft; one that was already submitted stays as it is. Raises `Refused`."""
        with self.database.transaction() as session:
            found = owned_row(session, id, user)
            if found.status != "draft":
                return found
            if found.description is None:
                raise Refused("The experiment has no valid input yet: upload it first.", 409)
            self._queue(session, found)
            found.device = device or found.device
            return found

    def put(
        self, user: str, id: str, name: str, device: str, description: str, epochs: int, category: str = "train",
        *, awaits: int = 0,
    ) -> tuple[Experiment, bool]:  # fmt: skip
        """Create and queue an experiment under an id made by the client; repeating it with the same content has no
        effect.

        One that `awaits` a file of so many bytes is accepted as a draft: store the file, then `submit` it. Returns the
        experiment, and whether it is new or still such a draft. Raises `Refused` for an id that is taken.
        """
        made = _draft(id, user, name, category, device)
        made.stored = awaits
        made.description, made.epochs_planned, made.dataset = description, epochs, _dataset(description)
        try:
            return self._put(made)
        except sa.exc.IntegrityError:  # two made it at a time, and the other one was first
            return self._put(made)

    def _put(self, made: Experiment) -> tuple[Experiment, bool]:
        with self.database.transaction() as session:
            found = locked(session, made.id)
            if found is None and session.get(Discarded, made.id) is not None:
                raise Refused("An experiment with this id was deleted a moment ago: make a new id.", 409)
            if found is None:
                self._queue(session, made)
                if made.stored:
                    made.status, made.queued = "draft", None
                session.add(made)
                return made, True
            if found.user != made.user or found.description != made.description:
                raise Refused("There is another experiment with this id: make a new id.", 409)
            return found, found.status == "draft"

    def get(self, user: str, id: str) -> Experiment:
        """An experiment of the user. Raises `Refused` (404) for any other."""
        with self.database.reading() as session:
            return owned(session.get(Experiment, id), user)

    def readable(self, user: str, id: str) -> Experiment:
        """An experiment of the user, or shared with them. Raises `Refused` (404) for any other."""
        with self.database.reading() as session:
            found = session.get(Experiment, id)
            shared = found is not None and session.get(Share, (id, user)) is not None
            return owned(found, None if shared else user)

    def find(self, id: str) -> Experiment:
        """An experiment of any user. Raises `Refused` (404)."""
        with self.database.reading() as session:
            return owned(session.get(Experiment, id))

    def of_user(self, user: str, *, limit: int = 1000, before: float | None = None) -> list[Experiment]:
        """The submitted experiments of a user, newest first."""
        wanted = [Experiment.user == user, Experiment.status != "draft"]
        wanted += [Experiment.created < before] if before is not None else []
        query = sa.select(Experiment).where(*wanted).order_by(Experiment.created.desc(), Experiment.id).limit(limit)
        with self.database.reading() as session:
            return list(session.scalars(query))

    def cancel(self, user: str, id: str) -> Experiment:
        """End an experiment: at once if it is waiting, else when its worker has stopped. Ended ones stay so."""
        with self.database.transaction() as session:
            found = owned_row(session, id, user)
            if found.status == "draft" or (found.status == "waiting" and not found.dispatched):
                _end(found, "cancelled", "cancelled by its owner before it ran")
            elif found.status in ACTIVE:
                found.cancelling, found.reason = True, found.reason or "cancelled by its owner"
            return found

    def rerun(self, user: str, id: str) -> Experiment:
        """Queue a failed or cancelled experiment again; it resumes from its last checkpoint. Active ones stay as they
        are. Raises `Refused` (409) for a completed one or a draft, (429) where the queue is full.
        """
        with self.database.transaction() as session:
            found = owned_row(session, id, user)
            if found.status in ACTIVE and not found.cancelling:
                return found
            if found.status not in ("failed", "cancelled"):
                now = "being cancelled: wait until it has ended" if found.cancelling else found.status
                raise Refused(
                    f"The experiment is {now}; only one that failed or was cancelled can be run again. Otherwise "
                    "submit it anew.", 409,
                )  # fmt: skip
            if found.description is None:
                raise Refused("The experiment was cancelled before it had an input: submit it anew.", 409)
            self._queue(session, found)
            found.reason, found.started, found.ended, found.alive = None, None, None, None
            found.stalled, found.not_before = 0, 0.0
            found.tidied = found.told = False
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
            found.reached = found.epochs_done
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
            return count(session, Experiment.status.in_(ACTIVE), Experiment.dispatched)

    def heard_since(self, seen: Experiment) -> bool:
        """Whether its attempt has sent a heartbeat, or ended, since it was read."""
        with self.database.reading() as session:
            found = session.get(Experiment, seen.id)
            return found is None or (found.attempt, found.lease) != (seen.attempt, seen.lease)

    def draining(self) -> str | None:
        """Why the operator lets no experiment start, if that is so."""
        with self.database.reading() as session:
            return session.scalar(sa.select(Setting.value).where(Setting.name == DRAINING))

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
            # an attempt that did not complete tells only of its own epochs; those before it stay
            write_epochs(session, found, epochs, exactly=status == "completed")
            if status == "cancelled":
                _end_stopped(found, reason)
            else:
                _end(found, status, reason)
            return True

    def lost(self, id: str, attempt: int, why: str, *, counts: bool = True) -> None:
        """Note that the current attempt ended without a result: the next one resumes, or the experiment has failed.

        With `counts=False` it is not one of the attempts that make an experiment fail: the fault was the service's.
        """
        with self.database.transaction() as session:
            found = _current(session, id, attempt)
            if found is None:
                return
            if found.cancelling:
                _end_stopped(found, None)
                return
            went_on = found.epochs_done > found.reached
            found.stalled = 0 if went_on else found.stalled + counts
            found.reason = None if went_on else why
            if found.stalled >= self.limits.attempts:
                _end(found, "failed", f"{why}; {found.stalled} attempts in a row came no further")
                return
            found.status, found.dispatched, found.secret, found.lease = "waiting", False, None, None
            pause = self.limits.backoff * 2 ** min(16, max(0, found.stalled - 1))
            found.not_before = time.time() + min(_LONGEST_PAUSE, pause)

    def fail(self, id: str, attempt: int, reason: str) -> None:
        """End the experiment as failed."""
        self.finish(id, attempt, "failed", reason, [])

    def stop_late(self, experiment: Experiment, running: float) -> bool:
        """Begin to end an experiment that has been `running` [s] for too long; returns whether it has."""
        if running < self.limits.seconds or experiment.cancelling:
            return False
        with self.database.transaction() as session:
            found = _current(session, experiment.id, experiment.attempt)
            if found is not None:
                found.cancelling = True
                found.reason = f"{_TIME_LIMIT} of {self.limits.seconds:g} s was reached"
        return True

    # Reports of workers

    def check_worker(self, id: str, attempt: int, secret: str) -> None:
        """Raise `Superseded` for any attempt but the current one, `Refused` without the right secret."""
        with self.database.reading() as session:
            _check_secret(owned(session.get(Experiment, id)), attempt, secret)

    def beat(self, id: str, attempt: int, secret: str, epochs: Sequence[Mapping[str, Any]]) -> bool:
        """Process a heartbeat of an attempt, with its new epochs; returns whether it should stop.

        Raises `Superseded` for any attempt but the current one, `Refused` without the right secret.
        """
        now = time.time()
        with self.database.transaction() as session:
            found = owned_row(session, id)
            _check_secret(found, attempt, secret)
            found.status, found.alive, found.lease = "running", now, now + self.limits.lease
            found.started = found.started or now
            write_epochs(session, found, epochs, exactly=False)
            return found.cancelling

    def counts(self) -> dict[str, int]:
        """Number of experiments in each state."""
        query = sa.select(Experiment.status, sa.func.count()).group_by(Experiment.status)
        with self.database.reading() as session:
            return {status: number for status, number in session.execute(query)}

    def _queue(self, session: Session, found: Experiment) -> None:
        active = Experiment.status.in_(ACTIVE)
        if count(session, active) >= self.limits.queued:
            raise Refused(f"The queue is full ({self.limits.queued} experiments): try again later.", 429)
        if count(session, active, Experiment.user == found.user) >= self.limits.queued_each:
            raise Refused(f"You have {self.limits.queued_each} experiments in the queue: wait for some to end.", 429)
        found.status, found.queued = "waiting", time.time()


def _draft(id: str, user: str, name: str, category: str, device: str) -> Experiment:
    return Experiment(
        id=id, user=user, name=name, category=category, device=device, created=time.time(), description=None,
        has_payload=False, status="draft", reason=None, epochs_planned=0, queued=None, not_before=0.0, started=None,
        ended=None, attempt=0, dispatched=False, lease=None, alive=None, secret=None, stalled=0, reached=0,
        cancelling=False, dataset=None, tags="[]", notes="", epochs_done=0, accuracy=None, epoch_seconds=None, stored=0,
        tidied=False, told=False,
    )  # fmt: skip


def _check_secret(found: Experiment, attempt: int, secret: str) -> None:
    if found.attempt != attempt or found.status not in ACTIVE or not found.dispatched:
        raise Superseded("This attempt is no longer the current one.", 409)
    if not hmac.compare_digest(found.secret or "", digest(secret)):
        raise Refused("This is not the secret of this attempt.", 403)


def _current(session: Session, id: str, attempt: int) -> Experiment | None:
    found = locked(session, id)
    going = found is not None and found.attempt == attempt and found.status in ACTIVE and found.dispatched
    return found if going else None


def _next(session: Session, now: float) -> Experiment | None:
    with_engine = (
        sa.select(Experiment.user, sa.func.count().label("number"))
        .where(Experiment.status.in_(ACTIVE), Experiment.dispatched)
        .group_by(Experiment.user)
        .subquery()
    )
    # a pause longer than any is one from before the clock was set back
    due = sa.or_(Experiment.not_before <= now, Experiment.not_before > now + 2 * _LONGEST_PAUSE)
    ready = (Experiment.status == "waiting", ~Experiment.dispatched, due)
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


def _dataset(description: str) -> str | None:
    """The dataset that a description in JSON names."""
    return json.loads(description).get("dataset")
