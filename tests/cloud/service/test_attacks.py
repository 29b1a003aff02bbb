"""Too much, too slowly, at once, and with the ground pulled away: a clear 4xx or 503, nothing lost, nothing doubled."""

import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from analogjax.store import StoreError
from tests.cloud.experiments import protobuf, submission
from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle, created


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("attacked")
    with service_in_thread(
        home, Idle(), max_body=200_000, header_seconds=1.5, body_seconds=2.0, connections=400
    ) as running:
        yield running


def address(service):
    return "127.0.0.1", service.settings.port


def test_a_disk_that_is_full(service, monkeypatch):
    from analogjax.store.disk import Disk

    _, url, _ = created(service)

    def full(self, name, data):
        raise StoreError("the disk is full (No space left on device)")

    with monkeypatch.context() as broken:
        broken.setattr(Disk, "write", full)
        answer = requests.put(url, data=protobuf(epochs=3).SerializeToString(), timeout=30)
        assert answer.status_code == 503 and "disk is full" in answer.json()["message"]
        assert service.put(f"/api/v1/experiments/{'9' * 32}", json=submission()).status_code == 201  # it waits
        time.sleep(1)
        assert service.get(f"/api/v1/experiments/{'9' * 32}").json()["status"] == "waiting"
    assert requests.put(url, data=protobuf(epochs=3).SerializeToString(), timeout=30).status_code == 204
    end = time.monotonic() + 30
    while service.get(f"/api/v1/experiments/{'9' * 32}").json()["attempt"] < 2:  # given to the engine after all
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_body_that_is_too_large(service):
    answer = service.put(f"/api/v1/experiments/{'a' * 32}", data=b"x" * 200_001)
    assert answer.status_code == 413 and "200000 bytes" in answer.json()["message"]
    url = service.post("/inputs", json={"experiment": created(service)[0]}).json()["url"]
    assert requests.put(url, data=b"x" * 300_000, timeout=30).status_code == 413

    def endless():
        for _ in range(400):
            yield b"x" * 1000

    answer = requests.put(url, data=endless(), timeout=30)  # in chunks: its size is not said
    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999999"])
def test_a_length_that_is_none(service, length):
    with socket.create_connection(address(service), timeout=10) as raw:
        raw.sendall(f"PUT /files/x HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert raw.recv(4096).split()[1] in (b"400", b"413")


def test_slow_clients_are_closed_and_others_served(service):
    slow = []
    try:
        for n in range(200):
            raw = socket.create_connection(address(service), timeout=10)
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" if n % 2 else b"")
            slow.append(raw)
        begun = time.monotonic()
        assert service.get("/api/v1/me").status_code == 200 and time.monotonic() - begun < 10
        dripping = threading.Thread(target=_drip, args=(slow[:100],))
        dripping.start()
        deadline = time.monotonic() + 10
        closed = sum(_is_closed(raw, deadline) for raw in slow)
        dripping.join()
        assert closed == 200
    finally:
        for raw in slow:
            raw.close()


def _drip(connections):
    """Send a byte now and then, so that the connection is never idle."""
    for _ in range(6):
        for raw in connections:
            try:
                raw.sendall(b"X")
            except OSError:
                continue
        time.sleep(0.3)


def _is_closed(raw, deadline):
    raw.settimeout(max(0.1, deadline - time.monotonic()))
    try:
        while raw.recv(4096):
            continue
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_body_that_does_not_end(service):
    with socket.create_connection(address(service), timeout=10) as raw:
        raw.sendall(b"POST /token/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert raw.recv(4096).split()[1] == b"408"


@pytest.mark.slow
def test_a_thousand_submissions_at_once(service):
    body, session = submission(), threading.local()

    def put(n):
        if not hasattr(session, "http"):
            session.http = requests.Session()
        id = f"load-{n // 2:04d}"  # each of them twice
        url = f"{service.url}/api/v1/experiments/{id}"
        return session.http.put(url, json=body, headers=service.headers, timeout=60).status_code

    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(put, range(1000)))
    assert sorted(set(codes)) == [200, 201] and codes.count(201) == 500
    listed = [one["id"] for one in service.get("/api/v1/experiments?limit=1000").json()]
    assert sum(id.startswith("load-") for id in listed) == 500 == len({id for id in listed if id.startswith("load-")})


def test_a_database_that_is_locked_for_a_while(service):
    lock = sqlite3.connect(service.settings.home / "service.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    threading.Timer(2.0, lambda: lock.execute("ROLLBACK")).start()
    begun = time.monotonic()
    answer = service.put(f"/api/v1/experiments/{'b' * 32}", json=submission())
    assert answer.status_code == 201 and time.monotonic() - begun > 1
    lock.close()


def test_too_many_connections_are_told_so(service):
    held = [socket.create_connection(address(service), timeout=10) for _ in range(450)]
    try:
        codes = set()
        for _ in range(5):
            try:
                codes.add(requests.get(f"{service.url}/api/v1/me", headers=service.headers, timeout=10).status_code)
            except requests.ConnectionError:
                codes.add("closed")
        assert codes <= {200, 503, "closed"}
    finally:
        for raw in held:
            raw.close()
    time.sleep(0.5)
    assert service.get("/api/v1/me").status_code == 200
