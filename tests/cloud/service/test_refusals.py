"""What is refused is told in plain words: what was given, and what belongs there; never a regular expression."""

import pytest
import requests

from tests.cloud.experiments import submission
from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle

_API = "/api/v1/experiments"
_ID = "a" * 8


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with service_in_thread(tmp_path_factory.mktemp("refusals"), Idle()) as running:
        assert running.put(f"{_API}/{_ID}", json=submission()).status_code == 201
        yield running


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "words"),
    [
        ("GET", f"{_API}/short", {}, 404, ("'short'", "8 to 64 letters")),
        ("GET", f"{_API}/{'z' * 65}", {}, 404, ("8 to 64 letters",)),
        ("GET", f"{_API}/{_ID}/files/nope.txt", {}, 404, ("'nope.txt'", "weights.npz")),
        ("PUT", f"{_API}/{'b' * 8}", {"json": submission(name="a\nb")}, 422, ("name", "'a\\nb'", "line breaks")),
        ("PUT", f"{_API}/{'b' * 8}", {"json": submission(name="n" * 201)}, 422, ("name", "at most 200")),
        ("PUT", f"{_API}/{'b' * 8}", {"json": {"name": "n"}}, 422, ("description", "is missing")),
        ("PUT", f"{_API}/{'b' * 8}", {"json": {"names": 1, "description": {}}}, 422, ("names", "leave it out")),
        ("PUT", f"{_API}/{'b' * 8}", {"data": "{}"}, 422, ("JSON object", "Content-Type: application/json")),
        ("PUT", f"{_API}/{'b' * 8}", {"json": []}, 422, ("JSON object",)),
        ("PUT", f"{_API}/{'b' * 8}", {"json": submission() | {"device": "tpu"}}, 422, ("device", "'tpu'", "'cpu'")),
        ("PATCH", f"{_API}/{_ID}", {"json": {"tags": ["a,b"]}}, 422, ("tags.0", "'a,b'", "comma")),
        ("PATCH", f"{_API}/{_ID}", {"json": {"name": ""}}, 422, ("name", "at least 1")),
        ("GET", f"{_API}?limit=0", {}, 422, ("limit", "'0'", "greater than or equal to 1")),
        ("GET", "/cloud/api/v1/experiments", {}, 404, ("'/cloud/api/v1/experiments'", "api_url")),
        ("DELETE", _API, {}, 405, ("DELETE", "/api.html")),
        ("POST", "/jobs", {"json": {"experiment": "x"}}, 422, ("experiment", "'x'", "8 to 64")),
    ],
)  # fmt: skip
def test_it_is_told_what_was_given_and_what_belongs_there(service, method, path, given, status, words):
    answer = requests.request(method, f"{service.url}{path}", headers=service.headers, timeout=30, **given)
    message = answer.json()["message"]
    assert answer.status_code == status and all(word in message for word in words), message
    assert (
        "pattern" not in message and "\\d" not in message and "^" not in message and "valid dictionary" not in message
    )


def test_a_token_and_a_session_are_told_apart(service):
    for word, told in (("ajx_wrong", "token is not valid"), ("a.b.c", "session has ended")):
        answer = requests.get(f"{service.url}/api/v1/me", headers={"Authorization": f"Bearer {word}"}, timeout=30)
        assert answer.status_code == 401 and told in answer.json()["message"]


def test_a_service_without_tls_is_told_so(service):
    from analogjax.cloud import CloudRunner, ConnectionFailed

    runner = CloudRunner(service.url.replace("http:", "https:"), service.token)
    with pytest.raises(ConnectionFailed, match="does not speak TLS: give its address with http://"):
        runner.get_experiment(_ID)
