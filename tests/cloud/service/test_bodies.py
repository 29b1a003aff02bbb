"""Bodies: whose they are is asked first; then how large, how slow, in what pieces, and how many are held at a time."""

import asyncio
import json
import socket
import time
from contextlib import contextmanager

import h11
import pytest
import requests

from analogjax.cloud.errors import Refused
from analogjax.cloud.service import bodies
from analogjax.cloud.service.bodies import SMALL, Bodies, Buffers
from analogjax.cloud.service.limits import Counted
from tests.cloud.experiments import protobuf, submission
from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle, created

_MOST = 2_000_000  # [bytes] of one body
ID = "1" * 32
_ASKING = (  # whatever takes a body, and what it answers to somebody unknown
    ("PUT", f"/api/v1/experiments/{ID}", 401), ("POST", f"/api/v1/experiments/{ID}/cancel", 401),
    ("POST", "/experiments", 401), ("POST", "/inputs", 401), ("POST", "/jobs", 401), ("PUT", "/files/word", 403),
    ("POST", f"/workers/v1/experiments/{ID}/attempts/1/beat", 404), ("PATCH", "/nothing", 401), ("BREW", "/", 401),
)  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    given = {"buffered": 5 * _MOST // 2, "buffered_each": 3 * _MOST // 2, "body_seconds": 20.0, "header_seconds": 5.0}
    with service_in_thread(tmp_path_factory.mktemp("bodies"), Idle(), max_body=_MOST, **given) as running:
        yield running


def begun(service, method, path, headers="", body=b""):
    """A connection on which a request has been begun."""
    raw = socket.create_connection(("127.0.0.1", service.settings.port), timeout=30)
    raw.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode() + body)
    return raw


def answer(raw):
    """Status and message of the answer on a connection that is closed after it."""
    with raw:
        status, told = raw_answer(raw)
    assert set(told) == {"message"} and told["message"]
    return status, told["message"]


def raw_answer(raw):
    response = b""
    while not response.endswith(b"}") and (piece := raw.recv(65536)):
        response += piece
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)


@pytest.fixture
def read(monkeypatch):
    """The sizes that bodies were read up to."""
    sizes, before = [], Bodies._read

    async def _read(self, receive, most, place):
        sizes.append(most)
        return await before(self, receive, most, place)

    monkeypatch.setattr(Bodies, "_read", _read)
    return sizes


@pytest.mark.parametrize(("method", "path", "status"), _ASKING)
@pytest.mark.parametrize("length", ["Content-Length: 1900000", "Transfer-Encoding: chunked"])
def test_somebody_unknown_is_told_so_before_a_byte_of_the_body(service, read, method, path, status, length):
    for authorization in ("", "Authorization: Bearer ajx_wrong\r\n", "Authorization: Basic YTpi\r\n"):
        assert answer(begun(service, method, path, f"{authorization}{length}\r\n"))[0] == status
    assert read == []


def test_a_session_without_the_header_of_the_page_is_told_so_before_its_body(service, read):
    with requests.Session() as browser:
        browser.post(f"{service.url}/api/v1/session", json={"token": service.token}, timeout=30)
        cookie = "; ".join(f"{one.name}={one.value}" for one in browser.cookies)
    read.clear()
    raw = begun(service, "POST", "/experiments", f"Cookie: {cookie}\r\nContent-Length: 1900000\r\n")
    assert answer(raw)[0] == 403 and read == []


def test_many_bodies_of_nobody_take_no_room(service, read):
    part = b"x" * 1_500_000
    for _ in range(3):
        answers = {requests.put(f"{service.url}/api/v1/experiments/{ID}", data=part, timeout=30).status_code
                   for _ in range(10)}  # fmt: skip
        assert answers == {401}  # the answer is read although the client sends everything first
    assert read == []


def test_what_needs_no_token_takes_no_more_than_one(service, read):
    for path in ("/token/login", "/api/v1/session"):
        whole = {"token": service.token, "more": "x" * (SMALL - 200)}
        assert requests.post(service.url + path, json=whole, timeout=30).status_code == 200
        assert requests.post(service.url + path, json={"token": "x" * SMALL}, timeout=30).status_code == 413
        assert requests.post(service.url + path, data=iter([b"x" * 4000] * 3), timeout=30).status_code == 413
    assert set(read) == {SMALL}


def test_a_body_that_nobody_reads_is_no_trouble(service):
    for path in ("/healthz", "/api/v1", "/api/v1/me"):
        for data in (b"{}", iter([b"{}"])):
            headers = service.headers
            assert requests.get(service.url + path, data=data, headers=headers, timeout=30).status_code == 200


@contextmanager
def halves(service, headers, number, size=_MOST):
    """Uploads of which half has arrived, and is held."""
    authorization = f"Authorization: {headers['Authorization']}\r\nContent-Length: {size}\r\n"
    raws = [
        begun(service, "PUT", f"/api/v1/experiments/{n:032d}", authorization, b"x" * (size // 2)) for n in range(number)
    ]
    try:
        yield raws
    finally:
        for raw in raws:
            raw.close()


def buffers(service):
    middleware = next(one for one in service.app.user_middleware if one.cls is Bodies)
    return middleware.kwargs["buffers"]


def held(service, wanted):
    end = time.monotonic() + 30
    while buffers(service).held != wanted:
        assert time.monotonic() < end, buffers(service).held
        time.sleep(0.02)


def test_one_user_and_all_users_can_fill_only_so_much(service):
    ada, bob = service.headers, service.user("bob")
    large = {"data": b"x" * (_MOST - 1), "timeout": 30}
    path = f"{service.url}/api/v1/experiments/{ID}"
    with halves(service, ada, 1):
        held(service, _MOST)
        refused = requests.put(path, headers=ada, **large)
        assert refused.status_code == 429 and refused.headers["Retry-After"] and "You" in refused.json()["message"]
        assert requests.put(path, headers=ada, data=b"{}", timeout=30).status_code == 422  # a small one has room
        with halves(service, bob, 1):
            held(service, 2 * _MOST)
            assert requests.put(path, headers=service.user("eve"), **large).status_code == 503
            assert requests.put(path, headers=bob, **large).status_code == 429
    held(service, 0)  # they went away
    assert requests.put(path, headers=ada, **large).status_code == 422
    held(service, 0)


def test_chunks_are_counted_as_they_come(service):
    headers = f"Authorization: Bearer {service.token}\r\nTransfer-Encoding: chunked\r\n"
    first = begun(service, "PUT", f"/api/v1/experiments/{ID}", headers, b"f0000\r\n" + b"x" * 0xF0000 + b"\r\n")
    second = begun(service, "PUT", f"/api/v1/experiments/{ID}", headers, b"f0000\r\n" + b"x" * 0xF0000 + b"\r\n")
    held(service, 2 * 0xF0000)
    large = b"x" * (3 * _MOST // 2 - 2 * 0xF0000 + 1)
    assert requests.put(
        f"{service.url}/api/v1/experiments/{ID}", data=iter([large]), headers=service.headers, timeout=30
    ).status_code == 429  # fmt: skip
    for raw in (first, second):
        raw.sendall(b"0\r\n\r\n")
        assert raw_answer(raw)[0] == 422
        raw.close()
    held(service, 0)


def test_room_is_given_back_to_the_byte():
    made = Buffers(100, 60)
    made.take("ada", 60)
    with pytest.raises(Refused, match="You are"):
        made.take("ada", 1)
    made.take("bob", 40)
    with pytest.raises(Refused, match="The service is"):
        made.take("eve", 1)
    made.give_back("ada", 60)
    made.take("eve", 60)
    assert made.held == 100 and set(made._held) == {"bob", "eve"}


# Crumbs


def test_a_body_in_crumbs_is_refused_after_so_many(service):
    for path, authorization in (("/token/login", ""), ("/jobs", f"Authorization: Bearer {service.token}\r\n")):
        raw = begun(service, "POST", path, f"{authorization}Transfer-Encoding: chunked\r\n")
        with pytest.raises(OSError):  # closed, long before the last one
            for _ in range(2000):
                raw.sendall(b"1\r\na\r\n" * 1000)
                assert requests.get(f"{service.url}/healthz", timeout=30).status_code == 200
        raw.close()
    crumbs = begun(service, "POST", "/token/login", "Transfer-Encoding: chunked\r\n", b"1\r\na\r\n" * 300)
    assert answer(crumbs) == (400, "The body comes in chunks of less than 64 bytes: send larger ones.")
    assert service.get("/api/v1/me").status_code == 200


def connection():
    made = Counted(h11.Connection(h11.SERVER))
    made.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert isinstance(made.next_event(), h11.Request)
    return made


@pytest.mark.parametrize("size", [1, 2, 63])
def test_small_chunks_are_counted_whatever_they_arrive_in(size):
    made, taken = connection(), 0
    chunk = f"{size:x};{'e' * 40}\r\n".encode() + b"x" * size + b"\r\n"
    with pytest.raises(h11.RemoteProtocolError):
        for _ in range(40_000):
            made.receive_data(chunk)
            while made.next_event() is not h11.NEED_DATA:
                continue
            taken += 1
    assert taken <= 256 + taken * size // 64 and made.refusal


@pytest.mark.parametrize("size", [64, 65, 4096])
def test_chunks_of_a_sensible_size_may_be_as_many_as_they_like(size):
    made, content = connection(), 0
    for _ in range(5000):
        made.receive_data(f"{size:x}\r\n".encode() + b"x" * size + b"\r\n")
        while (event := made.next_event()) is not h11.NEED_DATA:
            content += len(event.data)
    assert content == 5000 * size and made.refusal is None


def test_a_few_small_chunks_are_no_crumbs(service):
    pieces = json.JSONEncoder().iterencode({"token": service.token, "more": list(range(60))})
    data = (piece.encode() for piece in pieces)
    headers = {"Content-Type": "application/json"}
    assert requests.post(f"{service.url}/token/login", data=data, headers=headers, timeout=30).status_code == 200


# Slow, broken off, or no HTTP


def test_a_slow_body_is_refused_by_the_clock_though_the_loop_is_never_free(monkeypatch):
    """The event loop is as good as stopped: it gets to none of its timers while pieces keep coming."""
    now = [0.0]
    monkeypatch.setattr(bodies.time, "monotonic", lambda: now[0])
    sent = []

    async def receive():
        now[0] += 1.0
        return {"type": "http.request", "body": b"x", "more_body": now[0] < 1000}

    async def send(message):
        sent.append(message | {"held": room.held})

    room = Buffers(90_000, 90_000)
    middleware = Bodies(None, sender=lambda scope: "ada", size=50_000, seconds=7.0, buffers=room)
    scope = {"type": "http", "headers": [(b"content-length", b"10000")], "state": {}}
    asyncio.run(middleware(scope, receive, send))
    assert sent[0]["status"] == 408 and sent[0]["held"] == 0 and "7 s" in json.loads(sent[1]["body"])["message"]


def test_what_is_broken_off_is_not_taken_for_the_whole(service):
    id, url, _ = created(service, b"")
    whole = protobuf().SerializeToString()
    path = url.removeprefix(service.url)
    begun(service, "PUT", path, f"Content-Length: {len(whole) + 5}\r\n", whole).close()
    lines = f"Authorization: Bearer {service.token}\r\nContent-Type: application/json\r\n"
    told = json.dumps(submission()).encode()
    begun(service, "PUT", f"/api/v1/experiments/{ID}", f"{lines}Content-Length: {len(told) + 5}\r\n", told).close()
    held(service, 0)
    assert service.get(f"/inputs/{id}/file").status_code == 404
    assert service.get(f"/api/v1/experiments/{ID}").status_code == 404
    assert 'status="499"' in requests.get(f"{service.url}/metrics", timeout=30).text


@pytest.mark.parametrize(
    "request_", [b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                 b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 79_000],
)  # fmt: skip
def test_what_is_no_http_is_told_so_in_json(service, request_):
    raw = socket.create_connection(("127.0.0.1", service.settings.port), timeout=30)
    raw.sendall(request_)
    assert answer(raw)[0] == 400


def test_a_body_that_breaks_the_protocol(service):
    headers = f"Authorization: Bearer {service.token}\r\nTransfer-Encoding: chunked\r\n"
    assert answer(begun(service, "POST", "/jobs", headers, b"zz\r\n"))[0] == 400
    assert answer(begun(service, "POST", "/jobs", "Transfer-Encoding: chunked\r\n", b"zz\r\n"))[0] in (400, 401)
    assert service.get("/api/v1/me").status_code == 200


def test_a_service_that_is_full_says_so_in_json(tmp_path):
    with service_in_thread(tmp_path / "home", Idle(), connections=5) as full:
        idle = [socket.create_connection(("127.0.0.1", full.settings.port), timeout=30) for _ in range(5)]
        end = time.monotonic() + 30
        while (told := requests.get(f"{full.url}/healthz", timeout=30)).status_code == 200:
            assert time.monotonic() < end
        assert told.status_code == 503 and "too many connections" in told.json()["message"]
        assert told.headers["Retry-After"]
        for raw in idle:
            raw.close()


def test_a_fault_of_the_service_is_told_in_json_and_logged(service, monkeypatch, caplog):
    ledger = type(service.app.state.experiments.ledger)

    def broken(*given, **named):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(ledger, "readable", broken)
    told = service.get(f"/api/v1/experiments/{ID}")
    assert told.status_code == 500 and set(told.json()) == {"message"} and "secret" not in told.text
    assert "script-src 'self'" in told.headers["content-security-policy"]
    number = told.json()["message"].split(" as number ")[1].split(":")[0]
    record = next(one for one in caplog.records if number in one.getMessage())
    assert "secret detail" in str(record.exc_info[1])
    monkeypatch.setattr(ledger, "check_worker", broken)  # before its body is read, too
    path = f"/workers/v1/experiments/{ID}/attempts/1/beat"
    assert service.post(path, json={}).status_code == 500 and service.post(path, json={}).json()["message"]
