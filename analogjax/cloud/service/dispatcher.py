"""The thread that submits waiting experiments to the engine, and follows up on those submitted.

Everything it does can be repeated: it may be killed between any two lines, and starts over from the ledger. The outcome
of an attempt is what its worker left in the store, whether or not it was reported.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from analogjax.cloud.artefacts import Artefacts
from analogjax.cloud.errors import CloudError
from analogjax.cloud.estimate import memory_needed
from analogjax.cloud.executors import Executor, Phase, Ticket
from analogjax.cloud.inference import description_from_json
from analogjax.cloud.service.hearing import Hearing
from analogjax.cloud.service.ledger import Claim, Ledger
from analogjax.cloud.service.naming import job_name as job_name
from analogjax.cloud.service.room import Room
from analogjax.cloud.service.settings import Settings
from analogjax.cloud.service.tables import Experiment
from analogjax.errors import AnalogError
from analogjax.store import StoreError

log = logging.getLogger("analogjax.cloud")
_TICK = 0.25  # [s] between two looks for waiting experiments
_LOOK = 2.0  # [s] between two questions to the engine
_STOPPING = 20.0  # [s] that a worker has to stop of itself before the engine ends it
_UNREACHABLE = (
    300.0  # [s] after which an attempt is given up whose engine does not answer and that gives no sign of life
)
_STARTING = 120.0  # [s] that a worker may take from its start to its first sign of life: it reads a lot of Python
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # XLA writes pages about each program that it takes from a cache
_LEAST_MEMORY = 2**30  # [bytes] in addition to twice the estimate
_AGAIN = 5.0  # [s] until an engine that refused is tried again


_WHY = {  # what the phase in the engine means for a silent attempt
    Phase.UNKNOWN: "the engine has lost its worker",
    Phase.RUNNING: "its worker gave no sign of life",
    None: "neither its worker nor the engine can be reached",
}


class Dispatcher:
    """Start it, and stop it at the end; `wake` makes it check at once."""

    def __init__(self, settings: Settings, ledger: Ledger, executor: Executor, hearing: Hearing) -> None:
        self.settings, self.ledger, self.executor, self.hearing = settings, ledger, executor, hearing
        self.store = settings.location()
        self.room = Room.of((settings.home, self.store.path), settings.min_free)
        self.engine_error: str | None = None
        self.on_end: Callable[[str, float], None] = lambda status, seconds: None
        self._closed, self._awake = threading.Event(), threading.Event()
        self._ended: set[tuple[str, int]] = set()  # workers that said so
        # when, on the clock of hearing, an attempt was first seen to be cancelled, to be run by the engine, and to have
        # the lease that it has now
        self._cancelled: dict[tuple[str, int], float] = {}
        self._running: dict[tuple[str, int], float] = {}
        self._signs: dict[tuple[str, int], tuple[float | None, float]] = {}
        self._times: dict[tuple[str, int], tuple[float, float]] = {}
        self._blocked_until = 0.0
        self._thread = threading.Thread(target=self._live, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Start; attempts that ran while the service was down have a whole lease in which to report."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; workers continue."""
        self._closed.set()
        self._awake.set()
        self._thread.join(timeout=60)

    def wake(self) -> None:
        """Check at once."""
        self._awake.set()

    def ended(self, experiment: str, attempt: int) -> None:
        """Note a worker's report that its outcome is in the store."""
        self._ended.add((experiment, attempt))
        self._awake.set()

    @property
    def paused(self) -> str | None:
        """Why no waiting experiment is started now, if that is so."""
        if self.engine_error is not None:
            return f"The engine takes no experiments now: {self.engine_error}"
        return self.ledger.draining() or self.room.short()

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def _live(self) -> None:
        looked = 0.0
        while not self._closed.is_set():
            try:
                if time.monotonic() - looked > _LOOK or self._ended:
                    self._look()
                    looked = time.monotonic()
                while not self._closed.is_set() and self._dispatch():
                    continue
            except Exception:  # the thread must live: a full disk or a locked database passes
                log.exception("dispatcher: retrying in %s s", _AGAIN)
                self._closed.wait(_AGAIN)
            self._awake.wait(_TICK)
            self._awake.clear()

    # Giving to the engine

    def _dispatch(self) -> bool:
        """Submit one waiting experiment to the engine; returns whether there may be another one."""
        if time.monotonic() < self._blocked_until:
            return False
        capacity = self.executor.capacity
        if capacity is not None and self.ledger.number_dispatched() >= capacity:
            return False
        if self.ledger.draining() or self.room.short():
            return False
        claim = self.ledger.claim()
        if claim is None:
            return False
        try:
            self._submit(claim)
        except (CloudError, StoreError, OSError) as error:
            log.warning("dispatcher: %s could not be given to the engine: %s", claim.experiment, error)
            self.engine_error, self._blocked_until = str(error), time.monotonic() + _AGAIN
            self.ledger.unclaim(claim, _AGAIN)
            return False
        self.engine_error = None
        log.info("dispatched", extra={"experiment": claim.experiment, "attempt": claim.attempt})
        return True

    def _submit(self, claim: Claim) -> None:
        settings = self.settings
        artefacts = Artefacts(self.store, claim.experiment)
        description = json.loads(claim.description)
        artefacts.write_ticket(claim.attempt, {
            "description": description, "trained": self._source(description.get("trained", "")),
            "device": claim.device, "secret": claim.secret,
            "service": settings.url_for_workers, "lease": settings.limits.lease, "data_root": settings.data_root,
            "checkpoint_every_steps": settings.checkpoint_every_steps, "memory": self._memory(description),
        })  # fmt: skip
        command = [settings.worker_python, "-m", "analogjax.cloud.worker", "--store", self.store.url]
        command += ["--endpoint-url", settings.endpoint_url] if settings.endpoint_url else []
        command += ["--experiment", claim.experiment, "--attempt", str(claim.attempt)]
        environment = _QUIET | dict(settings.worker_environment)
        name = job_name(claim.experiment, claim.attempt)
        environment |= {"JAX_PLATFORMS": "cpu"} if claim.device == "cpu" else {}  # else JAX takes a GPU all the same
        memory = self._memory(description)
        self.executor.submit(Ticket(name, tuple(command), environment, claim.device, settings.limits.seconds, memory))

    def _memory(self, description: dict[str, Any]) -> int | None:
        """What an experiment may use: twice the estimate, within the limit."""
        most = self.settings.limits.memory
        if most is None:
            return None
        return min(most, _LEAST_MEMORY + 2 * memory_needed(description_from_json(description)))

    def _source(self, trained: str) -> dict[str, Any] | None:
        """Location of the weights of a completed training."""
        if not trained:
            return None
        found = self.ledger.find(trained)
        return {"attempt": found.attempt, "description": json.loads(found.description or "null")}

    # Finding out

    def _look(self) -> None:
        said, self._ended = self._ended, set()
        active = {(one.id, one.attempt): one for one in self.ledger.dispatched()}
        seen: dict[tuple[str, int], Any]
        for seen in (self._cancelled, self._running, self._signs, self._times):
            for key in seen.keys() - active.keys():
                del seen[key]
        for key in said & active.keys():
            if self._settle(active[key]):
                del active[key]
        if not active:
            return
        phases = self._phases([job_name(*key) for key in active])
        for key, one in active.items():
            self._judge(one, phases.get(job_name(*key)))

    def _phases(self, names: list[str]) -> dict[str, Phase]:
        """Phases of the jobs; empty if the engine does not answer."""
        try:
            phases = self.executor.phases(names)
        except CloudError as error:
            self.engine_error = str(error)
            log.warning("dispatcher: the engine does not answer: %s", error)
            return {}
        self.engine_error = None
        return phases

    def _judge(self, one: Experiment, phase: Phase | None) -> None:
        """Decide about an attempt by its phase in the engine (`None`: unknown) and its last heartbeat."""
        silent = self._silent(one, phase)
        self.ledger.stop_late(one, self._running_time(one))
        if one.cancelling:
            self._end_by_force(one)
            if one.alive is None and phase in (Phase.QUEUED, Phase.UNKNOWN):
                # an engine may keep what it has not begun; if it ever begins, it finds itself fenced off
                self.ledger.lost(one.id, one.attempt, "it never began")
                return
        if phase is Phase.ENDED:
            if not self._settle(one):
                self._lost(one, f"its worker ended without a result{self._ending(one)}")
        elif silent > (_UNREACHABLE if phase is None else 0.0) and phase is not Phase.QUEUED:
            self._give_up(one, phase)

    def _give_up(self, one: Experiment, phase: Phase | None) -> None:
        """End an attempt that sends no heartbeat, unless it has left an outcome, or sent one just now."""
        if self._settle(one) or self.ledger.heard_since(one):
            return
        if phase is Phase.RUNNING:
            log.warning("no sign of life", extra={"experiment": one.id, "attempt": one.attempt})
            self.executor.cancel(job_name(one.id, one.attempt))
        self._lost(one, _WHY[phase])

    def _lost(self, one: Experiment, why: str) -> None:
        """Note a lost attempt. A full disk ends all of them: they wait until there is room."""
        short = self.room.short()
        self.ledger.lost(one.id, one.attempt, why if short is None else f"{why}; {short}", counts=short is None)

    def _silent(self, one: Experiment, phase: Phase | None) -> float:
        """Seconds of silence beyond the lease; negative if it was heard in time, or has only just begun."""
        key, now = (one.id, one.attempt), self.hearing.time
        lease, since = self._signs.get(key, (None, now))
        if lease != one.lease:
            since = now
        self._signs[key] = (one.lease, since)
        silent = now - since - self.ledger.limits.lease
        if one.alive is None and phase is Phase.RUNNING:  # the lease began when the engine's queue took it
            return min(silent, now - self._running.setdefault(key, now) - _STARTING)
        return silent

    def _running_time(self, one: Experiment) -> float:
        """How long it has been running [s]: by the time of day when first seen, then by a clock that never jumps."""
        if one.started is None:
            return 0.0
        now = time.monotonic()
        told, since = self._times.setdefault((one.id, one.attempt), (time.time() - one.started, now))
        return told + now - since

    def _end_by_force(self, one: Experiment) -> None:
        now = self.hearing.time  # when it could have been asked to stop
        first = self._cancelled.setdefault((one.id, one.attempt), now)
        if one.alive is None or now - first > _STOPPING:  # it never began, or does not stop
            self.executor.cancel(job_name(one.id, one.attempt))

    def _settle(self, one: Experiment) -> bool:
        """Accept the outcome that the attempt left in the store, if any."""
        try:
            outcome = Artefacts(self.store, one.id).outcome(one.attempt)
        except AnalogError as error:
            log.warning("dispatcher: %s", error)
            return False
        if outcome is None:
            return False
        if outcome.status == "lost":
            self._lost(one, outcome.reason or "its worker stopped")
        elif outcome.status == "full":
            self.ledger.lost(one.id, one.attempt, outcome.reason or "the disk was full", counts=False)
        elif self.ledger.finish(one.id, one.attempt, outcome.status, outcome.reason, outcome.epochs):
            self.on_end(outcome.status, max(0.0, time.time() - (one.started or time.time())))
        log.info("ended", extra={"experiment": one.id, "attempt": one.attempt, "status": outcome.status})
        return True

    def _ending(self, one: Experiment) -> str:
        """How a worker ended, and the last line of its output, for the reason."""
        name = job_name(one.id, one.attempt)
        try:
            told, lines = self.executor.ending(name), self.executor.logs(name, 4096).strip().splitlines()
        except CloudError:
            return ""
        return (f": {told}" if told else "") + (f" (it last printed: {lines[-1][:300]})" if lines else "")
