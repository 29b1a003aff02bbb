"""The thread that tells a webhook of every experiment that has ended, at least once each, also after a restart.

    POST URL   {"event": "ended", "id": …, "name": …, "owner": …, "category": …, "status": …, "reason": …, "started": …,
                "ended": …, "accuracy": …}
    X-Analogjax-Signature: sha256=HMAC-SHA256 of the body, in hexadecimal     (with a secret)

The operator alone sets the address: users could otherwise make the service send requests into its own network.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time

import sqlalchemy as sa

from analogjax.cloud.service.ledger import ENDED
from analogjax.cloud.service.tables import Database, Experiment, Setting, User

log = logging.getLogger("analogjax.cloud")
_EVERY, _LONGEST = 2.0, 300.0  # [s] between two rounds, and at most while the other side does not take them
_PATIENCE = 86_400.0  # [s] after the end, for which it is tried
_TIMEOUT = (5.0, 10.0)  # [s] to connect, to answer
_AT_ONCE = 50
_SINCE = "webhook_since"


class Notices:
    """Start it, and stop it at the end. Ends from before the first start with a webhook are not told."""

    def __init__(self, database: Database, url: str, secret: str | None = None) -> None:
        self.database, self.url, self._secret = database, url, secret
        self.since = _first_use(database)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._live, name="notices", daemon=True)

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what was not told is told after the next start."""
        self._closed.set()
        self._thread.join(timeout=30)

    def round(self) -> bool:
        """Tell what is to be told; returns whether all of it was taken."""
        for one, owner in self._untold():
            if not self._tell(one, owner):
                if one.ended is not None and time.time() - one.ended < _PATIENCE:
                    return False
                log.warning("the webhook was never told", extra={"experiment": one.id})
            same = sa.and_(Experiment.id == one.id, Experiment.attempt == one.attempt, Experiment.status == one.status)
            with self.database.transaction() as session:
                session.execute(sa.update(Experiment).where(same).values(told=True))
        return True

    def _live(self) -> None:
        pause = _EVERY
        while not self._closed.wait(pause):
            try:
                pause = _EVERY if self.round() else min(_LONGEST, 2 * pause)
            except Exception:  # the thread must live: a locked database passes
                log.exception("notices: trying again later")
                pause = min(_LONGEST, 2 * pause)

    def _untold(self) -> list[tuple[Experiment, str]]:
        ended = sa.and_(Experiment.status.in_(ENDED), Experiment.ended >= self.since, ~Experiment.told)
        query = sa.select(Experiment, User.name).join(User, User.id == Experiment.user)
        # what was never submitted is nobody's concern
        query = query.where(ended, Experiment.queued.is_not(None)).order_by(Experiment.ended).limit(_AT_ONCE)
        with self.database.reading() as session:
            return [(one, name) for one, name in session.execute(query)]

    def _tell(self, one: Experiment, owner: str) -> bool:
        """Whether it was taken."""
        import requests

        names = ("id", "name", "category", "status", "reason", "started", "ended", "accuracy")
        told = {"event": "ended", "owner": owner} | {name: getattr(one, name) for name in names}
        body = json.dumps(told).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret is not None:
            found = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Analogjax-Signature"] = f"sha256={found}"
        try:
            answer = requests.post(self.url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            log.warning("the webhook can't be reached (%s)", type(error).__name__)
            return False
        if not 200 <= answer.status_code < 300:
            log.warning("the webhook answers %s", answer.status_code)
            return False
        return True


def _first_use(database: Database) -> float:
    with database.transaction() as session:
        found = session.get(Setting, _SINCE)
        if found is None:
            found = Setting(name=_SINCE, value=repr(time.time()))
            session.add(found)
        return float(found.value)
