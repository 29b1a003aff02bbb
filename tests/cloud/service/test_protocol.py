"""Both faces of the service over HTTP: the composer protocol call by call, the JSON API, and who may see what."""

import json
import re
import time
from datetime import datetime

import pytest
import requests

from analogjax.cloud.executors import Phase
from tests.cloud.experiments import protobuf, submission
from tests.cloud.running_service import service_in_thread


class Idle:
    """An engine that takes everything and does nothing."""

    kind, capacity = "local", None

    def __init__(self):
        self.tickets, self.cancelled = {}, []

    def submit(self, ticket):
        self.tickets[ticket.name] = ticket

    def phases(self, names):
        return {name: Phase.QUEUED if name in self.tickets else Phase.UNKNOWN for name in names}

    def cancel(self, name):
        self.cancelled.append(name)

    def logs(self, name, limit=65536):
        return f"log of {name}\n"

    def log_part(self, name, after, limit=65536):
        whole = self.logs(name)
        return whole[after:], len(whole)

    def ending(self, name):
        return ""

    def forget(self, name):
        self.tickets.pop(name, None)

    def close(self):
        self.tickets.clear()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with service_in_thread(tmp_path_factory.mktemp("service"), Idle()) as running:
        yield running


def created(service, payload=None):
    """An experiment with its input, through the protocol."""
    made = service.post("/experiments", json={"name": "n", "category": "train"}).json()
    url = service.post("/inputs", json={"experiment": made["id"], "device": "gpu"}).json()["url"]
    answer = requests.put(url, data=protobuf().SerializeToString() if payload is None else payload, timeout=30)
    return made["id"], url, answer


def test_the_calls_of_the_original_client_in_their_order(service):
    login = requests.post(f"{service.url}/token/login", json={"token": service.token}, timeout=30)
    jwt = {"Authorization": f"Bearer {login.json()['jwt']}"}
    made = requests.post(
        f"{service.url}/experiments", json={"name": "mine", "category": "train"}, headers=jwt, timeout=30
    )
    assert set(made.json()) == {"id", "name", "category", "createdAt", "input"} and "job" not in made.json()
    datetime.strptime(made.json()["createdAt"], "%Y-%m-%dT%H:%M:%S.%fZ")
    id = made.json()["id"]
    assert made.json()["input"] == {"id": id}  # the client never asks for it again
    url = service.post("/inputs", json={"experiment": id, "device": "gpu"}).json()["url"]
    assert requests.put(url, data=protobuf().SerializeToString(), timeout=30).status_code == 204
    job = service.post("/jobs", json={"device": "gpu", "experiment": id}).json()
    assert job == {"id": id, "status": "waiting"}
    assert service.post("/jobs", json={"device": "gpu", "experiment": id}).json() == job
    assert service.get(f"/jobs/{id}").json()["status"] == "waiting"
    listed = [one for one in service.get("/experiments/me").json() if one["id"] == id]
    assert listed == [service.get(f"/experiments/{id}").json()] and listed[0]["job"] == job
    url = service.get(f"/inputs/{id}/file").json()["url"]
    assert requests.get(url, timeout=30).content == protobuf().SerializeToString()
    assert service.get(f"/outputs/{id}/file").status_code == 404


def test_login_with_a_wrong_token_is_a_400_as_the_client_expects(service):
    answer = requests.post(f"{service.url}/token/login", json={"token": "wrong"}, timeout=30)
    assert answer.status_code == 400 and "not valid" in answer.json()["message"]


@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", "Bearer ", "Basic YTpi", "Bearer ajx_wrong", "Bearer a.b.c"]
)
def test_nothing_without_a_valid_token(service, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/experiments/me", "/api/v1/experiments", "/api/v1/me", "/jobs/abcdefgh"):
        answer = requests.get(f"{service.url}{path}", headers=headers, timeout=30)
        assert answer.status_code == 401 and answer.json()["message"]


def test_an_unknown_preset_is_refused_with_what_is_known(service):
    _, _, answer = created(service, protobuf(preset="TikiTakaUnobtainiumPreset").SerializeToString())
    assert (
        answer.status_code == 422
        and "known are ReRamESPreset, ReRamSBPreset, CapacitorPreset" in answer.json()["message"]
    )


@pytest.mark.parametrize("payload", [b"", b"\xff" * 100, b"pickle", protobuf().SerializeToString()[:-5]])
def test_garbage_is_refused_and_never_queued(service, payload):
    id, _, answer = created(service, payload)
    assert answer.status_code == 422 and answer.json()["message"]
    assert service.post("/jobs", json={"device": "gpu", "experiment": id}).status_code == 409
    assert id not in [one["id"] for one in service.get("/experiments/me").json()]


def test_an_input_can_not_change_after_it_was_submitted(service):
    id, url, _ = created(service)
    service.post("/jobs", json={"experiment": id})
    assert requests.put(url, data=protobuf(epochs=9).SerializeToString(), timeout=30).status_code == 409
    assert service.post("/inputs", json={"experiment": id}).status_code == 409


def test_addresses_of_files_open_only_what_they_were_made_for(service):
    id, url, _ = created(service)
    assert requests.get(url, timeout=30).status_code == 403  # made for writing
    read = service.get(f"/inputs/{id}/file").json()["url"]
    assert requests.put(read, data=b"x", timeout=30).status_code == 403
    assert requests.get(read[:-3] + "abc", timeout=30).status_code == 403


def test_submitting_as_json_is_idempotent(service):
    body = submission()
    first, again = (service.put(f"/api/v1/experiments/{'c' * 32}", json=body) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert service.put(f"/api/v1/experiments/{'c' * 32}", json=submission(epochs=3)).status_code == 409
    assert sum(one["id"] == "c" * 32 for one in service.get("/api/v1/experiments").json()) == 1
    shown = service.get(f"/api/v1/experiments/{'c' * 32}").json()
    assert shown["status"] == "waiting" and shown["files"] == ["description.json"] and shown["dataset"] == "Digits"
    assert service.get(f"/api/v1/experiments/{'c' * 32}/files/description.json").json()["epochs"] == 2
    assert service.get(f"/api/v1/experiments/{'c' * 32}/files/weights.npz").status_code == 404


def test_another_user_sees_and_touches_nothing(service):
    service.put(f"/api/v1/experiments/{'d' * 32}", json=submission())
    bob, id = service.user("bob"), "d" * 32
    assert requests.get(f"{service.url}/experiments/me", headers=bob, timeout=30).json() == []
    paths = [f"/experiments/{id}", f"/jobs/{id}", f"/inputs/{id}/file", f"/outputs/{id}/file"]
    paths += [f"/api/v1/experiments/{id}{rest}" for rest in ("", "/epochs", "/logs", "/files/description.json")]
    for path in paths:
        assert requests.get(f"{service.url}{path}", headers=bob, timeout=30).status_code == 404, path
    cancel = requests.post(f"{service.url}/api/v1/experiments/{id}/cancel", headers=bob, timeout=30)
    assert cancel.status_code == 404
    put = requests.put(f"{service.url}/api/v1/experiments/{id}", headers=bob, json=submission(), timeout=30)
    assert put.status_code == 409
    assert service.get(f"/api/v1/experiments/{id}").json()["status"] == "waiting"


@pytest.mark.parametrize(
    "id", ["../../etc/passwd", "..%2f..%2fetc", "a", "a" * 65, "%00" * 8, "aaaaaaaa/../x", "\uff41" * 8]
)
def test_ids_that_are_none(service, id):
    for answer in (
        service.get(f"/api/v1/experiments/{id}"), service.put(f"/api/v1/experiments/{id}", json=submission()),
        service.get(f"/experiments/{id}"), service.get(f"/jobs/{id}"),
    ):  # fmt: skip
        assert answer.status_code in (404, 405)


@pytest.mark.parametrize(
    "path", ["/../app.js", "/..%2f..%2fsettings.py", "/%2e%2e/%2e%2e/tables.py", "/.%00", "/nothing"]
)
def test_the_page_serves_only_its_own_files(service, path):
    answer = requests.Request("GET", service.url + path).prepare()
    answer.url = service.url + path
    with requests.Session() as session:
        assert session.send(answer, timeout=30).status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"name": 1}', b'{"name":"\\ud800","device":"cpu","description":{}}',
             b"[" * 100_000, b'{"name": "a\\u0000b", "description": {}}'],
)  # fmt: skip
def test_bodies_that_are_none(service, body):
    for method, path in (("PUT", f"/api/v1/experiments/{'e' * 32}"), ("POST", "/experiments"), ("POST", "/jobs"),
                         ("POST", "/token/login"), ("POST", "/api/v1/session")):  # fmt: skip
        headers = service.headers | {"Content-Type": "application/json"}
        answer = requests.request(method, service.url + path, headers=headers, data=body, timeout=30)
        assert 400 <= answer.status_code < 500 and set(answer.json()) == {"message"}, (path, answer.text)


@pytest.mark.parametrize("where", ["learning_rate", "batch_size", "seed", "dataset", "layers", "loss_function"])
@pytest.mark.parametrize("value", ["1" + "0" * 400, "-1e400", "NaN", "{}", "[[]]", '"\\ud800"'])
def test_values_that_are_none_are_refused_in_json(service, where, value):
    body = json.dumps({"description": submission()["description"] | {where: "HERE"}}).replace('"HERE"', value)
    headers = service.headers | {"Content-Type": "application/json"}
    url = f"{service.url}/api/v1/experiments/{'e' * 32}"
    answer = requests.put(url, data=body, headers=headers, timeout=30)
    assert answer.status_code == 422 and set(answer.json()) == {"message"}, answer.text


def test_cancelling_what_waits(service):
    service.put(f"/api/v1/experiments/{'f' * 32}", json=submission())
    answer = service.post(f"/api/v1/experiments/{'f' * 32}/cancel")
    assert answer.status_code == 200
    shown = service.until("f" * 32, "cancelled", seconds=20)
    assert "cancelled by its owner" in shown["reason"]
    assert service.get(f"/jobs/{'f' * 32}").json()["status"] == "cancelled"


def test_a_session_of_the_page(service):
    with requests.Session() as browser:
        assert browser.post(f"{service.url}/api/v1/session", json={"token": "wrong"}, timeout=30).status_code == 401
        answer = browser.post(f"{service.url}/api/v1/session", json={"token": service.token}, timeout=30)
        assert answer.json() == {"user": "ada"}
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        assert browser.get(f"{service.url}/api/v1/me", timeout=30).json()["user"] == "ada"
        path = f"{service.url}/api/v1/experiments/{'a' * 32}/cancel"
        assert browser.post(path, timeout=30).status_code == 403  # what a form of another site could send
        assert browser.post(path, headers={"X-Requested-With": "analogjax"}, timeout=30).status_code == 404


def test_answers_carry_security_headers(service):
    for path in ("/", "/app.js", "/api/v1", "/nothing"):
        headers = requests.get(service.url + path, timeout=30).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers


def test_health_and_numbers(service):
    assert requests.get(f"{service.url}/healthz", timeout=30).json() == {"status": "ok", "engine": "ok"}
    numbers = requests.get(f"{service.url}/metrics", timeout=30).text
    assert re.search(r'analogjax_requests_total\{method="GET",route="/healthz",status="200"\} [1-9]', numbers)
    assert "analogjax_engine_up 1.0" in numbers and 'analogjax_experiments{status="waiting"}' in numbers


def test_what_the_service_is(service):
    told = requests.get(f"{service.url}/api/v1", timeout=30).json()
    assert told["name"] == "analogjax" and "AnalogLinear" in told["layers"] and "CapacitorPreset" in told["presets"]


def test_nothing_secret_reaches_the_engine_or_the_log(service, caplog):
    service.put(f"/api/v1/experiments/{'7' * 32}", json=submission())
    executor = service.app.state.dispatcher.executor
    end = time.monotonic() + 20
    while not (names := [name for name in executor.tickets if "7" * 32 in name]):
        assert time.monotonic() < end
        time.sleep(0.05)
    ticket = executor.tickets[names[0]]
    kept = service.app.state.dispatcher.store.read(f"experiments/{'7' * 32}/attempts/1/ticket.json").decode()
    secret = re.search(r'"secret": "([^"]+)"', kept)[1]
    assert secret not in str(ticket) and service.token not in str(ticket)
    with caplog.at_level("INFO", logger="analogjax.cloud"):
        _, url, _ = created(service)
    assert service.token not in caplog.text and url.rpartition("/")[2] not in str([r.__dict__ for r in caplog.records])
