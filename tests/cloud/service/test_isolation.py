"""What one user does is neither seen nor felt by another: names of jobs, labels of metrics, sessions, files."""

import itertools
import json
import random
import re
import socket
import string

import pytest
import requests

from analogjax.cloud.artefacts import ID
from analogjax.cloud.executors import Phase
from analogjax.cloud.executors.local import LocalExecutor
from analogjax.cloud.service import access
from analogjax.cloud.service.dispatcher import job_name
from analogjax.cloud.service.metrics import Metrics, State
from analogjax.cloud.service.tokens import create_token, revoke_token
from tests.cloud.executors.clusters import until
from tests.cloud.executors.contract import shell
from tests.cloud.experiments import protobuf, submission
from tests.cloud.running_service import end_all, service_in_thread
from tests.cloud.service.test_protocol import Idle, created


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with service_in_thread(tmp_path_factory.mktemp("isolated"), Idle()) as running:
        yield running


# Names of jobs


def test_no_two_attempts_share_a_name_whatever_their_ids():
    source, letters = random.Random(5), string.ascii_letters + string.digits + "-"
    ids = {"".join(source.choices(letters, k=source.choice((8, 9, 47, 48, 49, 50, 64)))) for _ in range(3000)}
    ids |= {"p" * shared + end for shared in (8, 40, 47, 48, 49, 62) for end in ("", "a", "b", "-1", "-2")}
    ids |= {"abcdefgh", "abcdefgh-1", "abcdefgh-1-1", "h-abcdefgh", "ABCDEFGH"}
    # and ids made to look like the name of another job
    ids |= {job_name(id, 1)[4:] for id in list(ids)} | {job_name(id, 1)[5:] for id in list(ids)}
    ids = {id for id in ids if ID.fullmatch(id)}
    names = [job_name(id, attempt) for id, attempt in itertools.product(ids, (1, 2, 11, 9_999_999))]
    assert len(set(names)) == len(names) == 4 * len(ids) > 10_000
    assert all(re.fullmatch(r"[A-Za-z0-9-]{1,60}", name) for name in names)


@pytest.mark.parametrize("length", [8, 32, 48])
def test_jobs_of_a_service_of_the_version_before_are_found_under_their_names(length):
    assert job_name("a" * length, 3) == f"ajx-{'a' * length}-3"


def test_long_ids_that_begin_alike_have_logs_and_workers_of_their_own(tmp_path):
    executor = LocalExecutor(tmp_path / "jobs", workers=2)
    first, second = (job_name(f"{'run-' * 15}{end}", 1) for end in ("0001", "0002"))
    try:
        for name in (first, second):
            executor.submit(shell(name, f"echo log of {name}; sleep 60"))
        until(lambda: all(executor.logs(name) == f"log of {name}\n" for name in (first, second)), 30, "both logs")
        executor.cancel(second)
        until(lambda: executor.phases([second])[second] is Phase.ENDED, 30, "its end")
        assert executor.phases([first])[first] is Phase.RUNNING
    finally:
        end_all(executor)


def test_the_log_of_a_long_id_is_that_of_its_own_job(service):
    ids, headers = [f"{'mnist-' * 10}{end}" for end in ("ada", "bob")], [service.headers, service.user("bob")]
    for id, owner in zip(ids, headers, strict=True):
        url = f"{service.url}/api/v1/experiments/{id}"
        assert requests.put(url, json=submission(), headers=owner, timeout=30).status_code == 201
    executor = service.app.state.dispatcher.executor
    until(lambda: {job_name(id, 1) for id in ids} <= set(executor.tickets), 30, "both jobs")
    logs = [
        requests.get(f"{service.url}/api/v1/experiments/{id}/logs", headers=owner, timeout=30).text
        for id, owner in zip(ids, headers, strict=True)
    ]
    assert logs == [f"log of {job_name(id, 1)}\n" for id in ids] and logs[0] != logs[1]


def test_a_file_is_saved_under_the_whole_id(service):
    names = set()
    for id in ("convolution-1", "convolution-2"):
        service.put(f"/api/v1/experiments/{id}", json=submission())
        answer = service.get(f"/api/v1/experiments/{id}/files/description.json")
        names.add(answer.headers["content-disposition"])
    assert names == {f'attachment; filename="convolution-{n}_description.json"' for n in (1, 2)}


# Labels of metrics


def lines(service):
    """Every series that there is, without its value."""
    text = requests.get(f"{service.url}/metrics", timeout=30).text
    return {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("analogjax_request")}


def make_up(service, n):
    """Requests with words of their own wherever there is room for one."""
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=30) as raw:
        made_up = f"M{n:03d} /nowhere/{n}?x={n} HTTP/1.1\r\nHost: h{n}\r\nX-Requested-With: {n}\r\n"
        raw.sendall(f"{made_up}Connection: close\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 4")
    for path in ("/page/{}", "/files/word{}", "/jobs/unknown-{}", "/api/v1/experiments/unknown-{}/files/{}"):
        service.get(path.format(n, n))
    requests.request(f"ODD{n}", f"{service.url}/api/v1/experiments/{n}", headers=service.headers, timeout=30)


def test_what_clients_make_up_becomes_no_label(service):
    lines(service)
    make_up(service, 0)
    known = lines(service)
    for n in range(1, 40):
        make_up(service, n)
    assert lines(service) == known
    assert not any(re.search(r"M\d{3}|ODD|nowhere|unknown|word\d|page/", line) for line in known)
    assert any('method="other",route="other"' in line for line in known)
    assert any('method="GET",route="/jobs/{id}"' in line for line in known)


def test_labels_that_are_not_known_are_other():
    metrics = Metrics(lambda: State({}, True, 0.0, 0, 0, False))
    metrics.know(frozenset({"/jobs/{id}"}))
    for n in range(50):
        metrics.request(f"get{n}", f"/{n}", 1000 + n, 0.1)
        metrics.request("GET", None, -n - 1, 0.1)
    metrics.request("GET", "/jobs/{id}", 404, 0.1)
    told = metrics.text().decode()
    assert told.count("analogjax_requests_total{") == 3
    assert 'analogjax_requests_total{method="other",route="other",status="other"} 50.0' in told
    assert 'analogjax_requests_total{method="GET",route="/jobs/{id}",status="404"} 1.0' in told


# Sessions and addresses of files


def browser(service):
    made = requests.Session()
    answer = made.post(f"{service.url}/api/v1/session", json={"token": service.token}, timeout=30)
    assert answer.status_code == 200
    return made


def me(service, **given):
    return requests.get(f"{service.url}/api/v1/me", timeout=30, **given).status_code


def test_a_session_is_over_once_it_was_logged_out_of(service):
    with browser(service) as first, browser(service) as other:
        stolen, kept = (dict(one.cookies) for one in (first, other))
        assert me(service, cookies=stolen) == 200
        jwt = {"Authorization": f"Bearer {stolen['analogjax_session']}"}
        assert me(service, headers=jwt) == 200
        answer = first.delete(f"{service.url}/api/v1/session", headers={"X-Requested-With": "analogjax"}, timeout=30)
        assert answer.status_code == 204 and not first.cookies
        assert me(service, cookies=stolen) == 401 and me(service, headers=jwt) == 401
        assert me(service, cookies=kept) == 200 and me(service, headers=service.headers) == 200
        again = requests.delete(f"{service.url}/api/v1/session", cookies=stolen, timeout=30)
        assert again.status_code == 204


def test_a_session_of_the_protocol_ends_too(service):
    jwt = requests.post(f"{service.url}/token/login", json={"token": service.token}, timeout=30).json()["jwt"]
    headers = {"Authorization": f"Bearer {jwt}"}
    made = requests.post(f"{service.url}/experiments", json={"category": "train"}, headers=headers, timeout=30).json()
    asked = requests.post(f"{service.url}/inputs", json={"experiment": made["id"]}, headers=headers, timeout=30)
    url = asked.json()["url"]
    assert requests.delete(f"{service.url}/api/v1/session", headers=headers, timeout=30).status_code == 204
    assert me(service, headers=headers) == 401
    assert requests.put(url, data=protobuf().SerializeToString(), timeout=30).status_code == 403
    refused = requests.delete(f"{service.url}/api/v1/session", headers=service.headers, timeout=30)
    assert refused.status_code == 422 and "token revoke" in refused.json()["message"]
    assert me(service, headers=service.headers) == 200


def test_addresses_of_files_are_worthless_once_the_token_is_revoked(service):
    database = service.app.state.signer.database
    text, made = create_token(database, "ada")
    headers = {"Authorization": f"Bearer {text}"}
    id, _, _ = created(service)
    draft = service.post("/experiments", json={"category": "train"}).json()["id"]
    read = requests.get(f"{service.url}/inputs/{id}/file", headers=headers, timeout=30).json()["url"]
    asked = requests.post(f"{service.url}/inputs", json={"experiment": draft}, headers=headers, timeout=30)
    write = asked.json()["url"]
    assert requests.get(read, timeout=30).status_code == 200
    # an upload that has begun when the token is revoked
    payload = protobuf().SerializeToString()
    raw = socket.create_connection(("127.0.0.1", service.settings.port), timeout=30)
    path = write.removeprefix(service.url)
    raw.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload[:9])
    revoke_token(database, made.id)
    raw.sendall(payload[9:])
    assert raw.recv(4096).split()[1] == b"403"
    raw.close()
    assert requests.get(read, timeout=30).status_code == 403
    assert requests.put(write, data=payload, timeout=30).status_code == 403
    assert service.get(f"/inputs/{draft}/file").status_code == 404
    again = service.get(f"/inputs/{id}/file").json()["url"]  # by a token that is still good
    assert requests.get(again, timeout=30).status_code == 200


def test_a_token_that_is_revoked_during_a_slow_upload_uploads_nothing(service, monkeypatch):
    monkeypatch.setattr(access, "FRESH", 0.0)  # any upload is slow
    text, made = create_token(service.app.state.signer.database, "ada")
    body = json.dumps(submission()).encode()
    head = f"PUT /api/v1/experiments/{'5' * 32} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text}\r\n"
    head += f"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=30) as raw:
        raw.sendall(head.encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 100")  # it was let in
        revoke_token(service.app.state.signer.database, made.id)
        raw.sendall(body)
        assert raw.recv(4096).split()[1] == b"401"
    assert service.get(f"/api/v1/experiments/{'5' * 32}").status_code == 404


def test_an_address_opens_nothing_of_another_user(service):
    id, _, _ = created(service)
    signer = service.app.state.signer
    bob = signer.caller(service.user("bob")["Authorization"].removeprefix("Bearer "))
    for verb, act in (("read", requests.get), ("write", requests.put)):
        url = f"{service.url}/files/{signer.file(bob, verb, id, 'input.pb')}"
        assert act(url, timeout=30).status_code == 404
