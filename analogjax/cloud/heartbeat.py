"""The heartbeat by which a worker reports to its service, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import requests

from analogjax.store.json_values import strict

_TIMEOUT = (5.0, 20.0)  # [s] to connect, to answer
_PATIENCE = 15.0  # [s] for which a finished worker tries to report; its outcome in the store is found anyway


class Heartbeat:
    """Sends a heartbeat until it is closed; use it as a context manager.

    `on_stop` is called once, on the thread of the heartbeat, when the experiment was cancelled or this attempt is no
    longer the current one. If the service can't be reached, the next heartbeat reports everything since the last one
    that arrived.
    """

    def __init__(self, ticket: Mapping[str, Any], experiment: str, attempt: int, on_stop: Callable[[], None]) -> None:
        self._url = f"{ticket['service']}/workers/v1/experiments/{experiment}/attempts/{attempt}"
        self._headers = {"Authorization": f"Bearer {ticket['secret']}"}
        self._every = max(0.2, ticket["lease"] / 5)
        self._on_stop, self._closed, self._beat_now = on_stop, threading.Event(), threading.Event()
        self._heard = 0  # epochs of which the service knows
        self.epochs: list[dict[str, Any]] = []
        self.cancelled = self.superseded = False
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        self._beat_now.set()
        self._thread.join(timeout=30)

    def epoch(self, metrics: Mapping[str, Any]) -> None:
        """Report a completed epoch."""
        self.epochs.append(dict(metrics))
        self._beat_now.set()

    def tell_end(self) -> None:
        """Report that the outcome is in the store; without this, the service finds it later."""
        session = _session()
        try:
            session.post(f"{self._url}/end", headers=self._headers, json={}, timeout=_PATIENCE)
        except requests.RequestException as error:
            print(f"worker: can't reach the service ({type(error).__name__}); it will find the result.", flush=True)
        finally:
            session.close()

    def _live(self) -> None:
        with _session() as session:
            while not self._closed.is_set():
                self._beat_now.clear()
                self._beat(session)
                self._beat_now.wait(self._every)

    def _beat(self, session: requests.Session) -> None:
        number = len(self.epochs)
        try:
            answer = session.post(
                f"{self._url}/beat", headers=self._headers, timeout=_TIMEOUT,
                json={"epochs": strict(self.epochs[self._heard : number])},
            )  # fmt: skip
        except requests.RequestException:
            return  # the service is away
        if answer.status_code == 200:
            self._heard = number
            if answer.json()["stop"] and not self.cancelled:
                self.cancelled = True
                self._on_stop()
        elif answer.status_code in (403, 404, 409) and not self.superseded:
            self.superseded = True
            self._closed.set()
            self._on_stop()


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a proxy of the environment must not come between a worker and its service
    return session
