"""Workers are given up for their own silence, never for a time in which the service could hear nobody."""

import asyncio
import sqlite3
import threading
import time
from contextlib import contextmanager
from itertools import count
from socket import create_connection

import pytest
import requests

from analogjax.cloud.errors import Refused
from analogjax.cloud.executors import Phase
from analogjax.cloud.quota import Limits
from analogjax.cloud.service.dispatcher import Dispatcher
from analogjax.cloud.service.hearing import Hearing
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.metrics import Metrics
from analogjax.cloud.service.settings import Settings
from analogjax.cloud.service.tokens import create_token
from tests.cloud.experiments import submission
from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle

ID = "a" * 8


class Engine(Idle):
    """Says of every job what it is told to; `during` is done while it is asked."""

    def __init__(self, phase=Phase.RUNNING):
        super().__init__()
        self.phase, self.during = phase, lambda: None

    def phases(self, names):
        self.during()
        return {} if self.phase is None else dict.fromkeys(names, self.phase)


class Clock(Hearing):
    """A clock of hearing that a test sets."""

    def advance(self, seconds):
        self.time += seconds


class Case:
    """A dispatcher with one experiment that an engine has."""

    def __init__(self, database, tmp_path, phase=Phase.RUNNING):
        self.ledger, self.engine, self.clock = Ledger(database, Limits(lease=10.0, backoff=0.0)), Engine(phase), Clock()
        self.dispatcher = Dispatcher(Settings(home=tmp_path), self.ledger, self.engine, self.clock)
        owner = create_token(database, "ada")[1].user
        self.ledger.put(owner, ID, "n", "cpu", "{}", 3)
        self.secret = self.ledger.claim().secret

    def beat(self):
        self.ledger.beat(ID, 1, self.secret, [])

    def look(self):
        self.dispatcher._look()
        return self.ledger.find(ID)


@pytest.fixture
def case(database, tmp_path):
    return Case(database, tmp_path)


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.UNKNOWN])
def test_silence_is_measured_only_while_the_service_hears(database, tmp_path, phase, monkeypatch):
    case = Case(database, tmp_path, phase)
    case.beat()
    case.look()
    times = count(time.time() + 40_000, -3600)
    monkeypatch.setattr(time, "time", lambda: next(times))  # the time of day may jump
    case.clock.advance(9.9)
    assert case.look().status == "running" and case.engine.cancelled == []
    case.beat()  # it is heard at last
    assert case.look().status == "running"
    case.clock.advance(9.9)
    assert case.look().status == "running"
    case.clock.advance(0.2)
    assert case.look().status == "waiting"
    assert bool(case.engine.cancelled) == (phase is Phase.RUNNING)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_neither_ends_nor_delays_anything(database, tmp_path, jump, monkeypatch):
    real, offset = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])
    case = Case(database, tmp_path)
    case.ledger.limits = Limits(lease=10.0, backoff=30.0, seconds=600.0)
    case.beat()
    case.look()
    for _ in range(20):
        offset[0] = jump - offset[0]
        case.clock.advance(1.0)
        case.beat()
        assert case.look().status == "running" and not case.look().cancelling and case.engine.cancelled == []
    offset[0] = 0.0
    case.ledger.lost(ID, 1, "for a test")
    assert case.ledger.claim() is None  # it pauses
    offset[0] = jump
    assert case.ledger.claim().attempt == 2


def test_one_that_runs_for_too_long_is_stopped(database, tmp_path, monkeypatch):
    case, now = Case(database, tmp_path), [time.monotonic()]
    case.ledger.limits = Limits(seconds=100.0)
    case.beat()
    case.look()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    case.dispatcher._times.clear()
    assert not case.look().cancelling
    now[0] += 101.0
    assert case.look().cancelling and "time limit of 100 s" in case.ledger.find(ID).reason


def test_an_engine_that_does_not_answer_is_borne_for_longer(database, tmp_path):
    case = Case(database, tmp_path, None)
    case.beat()
    case.look()
    case.clock.advance(300.0)
    assert case.look().status == "running"
    case.clock.advance(11.0)
    assert case.look().status == "waiting"


def test_a_sign_of_life_while_the_engine_is_asked_counts(case):
    case.beat()
    case.look()
    case.clock.advance(11.0)
    case.engine.during = case.beat
    assert case.look().status == "running" and case.engine.cancelled == []
    case.engine.during = lambda: None
    case.look()
    case.clock.advance(11.0)
    assert case.look().status == "waiting"


def test_a_worker_that_is_told_to_stop_has_time_while_it_could_be_told(case):
    case.beat()
    case.ledger.cancel(case.ledger.find(ID).user, ID)
    case.look()
    for _ in range(5):
        case.clock.advance(9.0)
        case.beat()
        case.look()
        assert (len(case.engine.cancelled) > 0) == (case.clock.time > 20.0)


def test_a_job_that_the_engine_has_just_begun_has_time_to_start(case):
    case.look()
    case.clock.advance(119.0)
    assert case.look().status == "waiting" and case.ledger.find(ID).dispatched
    case.clock.advance(2.0)
    assert not case.look().dispatched


def test_a_restarted_service_gives_everybody_a_whole_lease(case, tmp_path):
    case.beat()
    case.look()
    case.clock.advance(9.0)
    case.look()
    later = Dispatcher(Settings(home=tmp_path), case.ledger, case.engine, case.clock)
    case.clock.advance(9.0)
    later._look()
    assert case.ledger.find(ID).status == "running"
    case.clock.advance(11.0)
    later._look()
    assert case.ledger.find(ID).status == "waiting"


# The clock


def test_the_clock_counts_no_gap():
    now = [0.0]
    made = Hearing(tick=0.5, monotonic=lambda: now[0])
    for step, total in ((0.5, 0.5), (0.6, 1.1), (1.0, 2.1), (40.0, 3.1), (0.5, 3.6)):
        now[0] += step
        made.beat()
        assert made.time == pytest.approx(total)


def test_the_clock_stands_while_the_proof_fails():
    made, proofs = Hearing(tick=0.001), []

    def probe():
        proofs.append(made.time)
        if len(proofs) < 5:
            raise Refused("locked")
        if len(proofs) == 9:
            raise SystemExit

    with pytest.raises(SystemExit):
        asyncio.run(made.live(probe))
    assert proofs[:5] == [0.0] * 5 and proofs[-1] > 0.0


def test_the_probe_needs_what_a_sign_of_life_needs(database):
    ledger, order = Ledger(database, Limits()), []
    with database.transaction():
        other = threading.Thread(target=lambda: (ledger.probe(), order.append("probe")))
        other.start()
        if database.sqlite:
            other.join(0.2)  # it waits for the writer
        order.append("written")
    other.join(30)
    assert sorted(order) == ["probe", "written"] and (not database.sqlite or order[0] == "written")


# A whole service


@contextmanager
def beating(service):
    """A worker that gives signs of life; what it is answered."""
    path = f"experiments/{ID}/attempts/1/ticket.json"
    end = time.monotonic() + 30
    while not service.app.state.dispatcher.store.exists(path):
        assert time.monotonic() < end
        time.sleep(0.05)
    secret = service.app.state.dispatcher.store.read(path).decode().split('"secret": "')[1].split('"')[0]
    stop, statuses = threading.Event(), []

    def live():
        while not stop.wait(0.2):
            try:
                statuses.append(requests.post(
                    f"{service.url}/workers/v1/experiments/{ID}/attempts/1/beat", json={"epochs": []}, timeout=20,
                    headers={"Authorization": f"Bearer {secret}"},
                ).status_code)  # fmt: skip
            except requests.RequestException:
                statuses.append(0)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def _hold_the_loop(service, monkeypatch, seconds):
    """Keep the event loop busy for a while, once."""
    before, held = Metrics.request, threading.Event()

    def slow(self, *given):
        if not held.is_set():
            held.set()
            time.sleep(seconds)
        before(self, *given)

    monkeypatch.setattr(Metrics, "request", slow)
    requests.get(f"{service.url}/healthz", timeout=30)
    assert held.wait(30)
    time.sleep(seconds)


def _lock_the_database(service, monkeypatch, seconds):
    lock = sqlite3.connect(service.settings.home / "service.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    lock.execute("ROLLBACK")
    lock.close()


def _fill_it(service, monkeypatch, seconds):
    held = [create_connection(("127.0.0.1", service.settings.port), timeout=30) for _ in range(40)]
    end = time.monotonic() + 30
    while requests.get(f"{service.url}/healthz", timeout=30).status_code != 503:
        assert time.monotonic() < end
    time.sleep(seconds)
    for raw in held:
        raw.close()


@pytest.mark.parametrize("stall", [_hold_the_loop, _lock_the_database, _fill_it])
def test_no_worker_is_ended_for_a_time_in_which_nobody_was_heard(tmp_path, monkeypatch, stall):
    engine, limits = Engine(), Limits(lease=1.5, backoff=0.0)
    with service_in_thread(tmp_path / "home", engine, limits=limits, connections=40) as service:
        assert service.put(f"/api/v1/experiments/{ID}", json=submission()).status_code == 201
        with beating(service) as statuses:
            service.until(ID, "running", seconds=30)
            stall(service, monkeypatch, 3 * limits.lease)
            heard = len(statuses)
            end = time.monotonic() + 30
            while len(statuses) < heard + 20:  # more than two leases
                assert time.monotonic() < end
                time.sleep(0.05)
            assert statuses[-10:] == [200] * 10 and engine.cancelled == []
            assert service.get(f"/api/v1/experiments/{ID}").json()["attempt"] == 1
        end = time.monotonic() + 30
        while service.get(f"/api/v1/experiments/{ID}").json()["attempt"] == 1:  # now it is silent itself
            assert time.monotonic() < end
            time.sleep(0.1)
        assert any(ID in name for name in engine.cancelled)
