"""The thread that removes files: of deleted experiments, and what experiments no longer need once they have ended.

A completed experiment keeps its input and its results, one that failed or was cancelled also its checkpoints, from
which it can be run again. Everything can be repeated: what is to be done stands in the database until it is done.
"""

from __future__ import annotations

import logging
import threading
import time

import sqlalchemy as sa

from analogjax.cloud.artefacts import Artefacts
from analogjax.cloud.errors import CloudError
from analogjax.cloud.executors import Executor
from analogjax.cloud.service import disposal
from analogjax.cloud.service.ledger import ENDED
from analogjax.cloud.service.naming import job_name
from analogjax.cloud.service.tables import Database, Experiment
from analogjax.errors import AnalogError
from analogjax.store import Location, StoreError

log = logging.getLogger("analogjax.cloud")
_EVERY = 30.0  # [s] between two rounds
_HOURLY = 3600.0
_AT_ONCE = 50


class Cleaner:
    """Start it, and stop it at the end. `retention` [s] is how long ended experiments are kept, `None`: for ever."""

    def __init__(self, database: Database, store: Location, executor: Executor, retention: float | None = None) -> None:
        self.database, self.store, self.executor, self.retention = database, store, executor, retention
        self._closed, self._awake = threading.Event(), threading.Event()
        self._aged = -_HOURLY
        self._thread = threading.Thread(target=self._live, name="cleaner", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is left is done after the next start."""
        self._closed.set()
        self._awake.set()
        self._thread.join(timeout=60)

    def wake(self) -> None:
        """Begin a round now."""
        self._awake.set()

    def round(self) -> None:
        """Do all that is to be done now."""
        if time.monotonic() - self._aged >= _HOURLY:
            self._aged = time.monotonic()
            disposal.forget_drafts(self.database)
            if self.retention is not None:
                disposal.expire(self.database, self.retention)
        for one in disposal.discarded(self.database):
            self._remove(one.id, one.attempts)
        for ended in self._untidy():
            self._tidy(ended)

    def _live(self) -> None:
        while not self._closed.is_set():
            try:
                self.round()
            except Exception:  # the thread must live: a full disk or a locked database passes
                log.exception("cleaner: retrying in %s s", _EVERY)
            self._awake.wait(_EVERY)
            self._awake.clear()

    def _remove(self, id: str, attempts: int) -> None:
        """Remove all of a deleted experiment."""
        try:
            self._forget(id, range(1, attempts + 1))
            Artefacts(self.store, id).delete()
        except (AnalogError, StoreError, OSError) as error:
            log.warning("cleaner: the files of %s can't be removed yet: %s", id, error)
            return
        disposal.removed(self.database, id)
        log.info("removed", extra={"experiment": id})

    def _untidy(self) -> list[Experiment]:
        query = sa.select(Experiment).where(Experiment.status.in_(ENDED), ~Experiment.tidied).limit(_AT_ONCE)
        with self.database.reading() as session:
            return list(session.scalars(query))

    def _tidy(self, one: Experiment) -> None:
        """Remove what an ended experiment no longer needs, and count the rest."""
        try:
            self._forget(one.id, range(1, one.attempt))
            stored = Artefacts(self.store, one.id).tidy(one.attempt, keep_checkpoints=one.status != "completed")
        except (AnalogError, StoreError, OSError) as error:
            log.warning("cleaner: the files of %s can't be tidied yet: %s", one.id, error)
            return
        same = sa.and_(Experiment.id == one.id, Experiment.attempt == one.attempt, Experiment.status == one.status)
        with self.database.transaction() as session:
            session.execute(sa.update(Experiment).where(same).values(tidied=True, stored=stored))

    def _forget(self, id: str, attempts: range) -> None:
        for number in attempts:
            try:
                self.executor.forget(job_name(id, number))
            except CloudError as error:
                log.warning("cleaner: %s", error)
