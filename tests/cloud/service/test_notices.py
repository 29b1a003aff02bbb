"""A webhook is told of every end, signed, until it takes it; also of what ended while it was away."""

import hashlib
import hmac
import http.server
import json
import threading
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from analogjax.cloud.quota import Limits
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.notices import Notices
from analogjax.cloud.service.tables import Experiment
from analogjax.cloud.service.tokens import create_token
from tests.cloud.executors.clusters import until
from tests.cloud.experiments import submission
from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle


@contextmanager
def listener(statuses=()):
    """A server that answers with these statuses, then 200; what it received."""
    received, answers = [], iter(statuses)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((dict(self.headers), body))
            self.send_response(next(answers, 200))
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *given):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()
    server.server_close()


@pytest.fixture
def ledger(database):
    return Ledger(database, Limits(backoff=0.0))


def end(ledger, id, status="completed"):
    owner = create_token(ledger.database, "ada")[1].user
    ledger.put(owner, id, "of mine", "cpu", "{}", 1)
    claim = ledger.claim()
    assert ledger.finish(id, claim.attempt, status, None, [{"epoch": 0, "accuracy": 0.5}])
    return owner


def test_each_end_is_told_once_and_signed(ledger):
    end(ledger, "a" * 8)  # before there was a webhook
    with listener() as (url, received):
        notices = Notices(ledger.database, url, "key")
        owner = end(ledger, "b" * 8)
        end(ledger, "c" * 8, "failed")
        ledger.cancel(owner, ledger.create(owner, "draft", "train").id)
        for _ in range(3):
            assert notices.round()
    told = [json.loads(body) for _, body in received]
    assert [(one["id"], one["status"]) for one in told] == [("b" * 8, "completed"), ("c" * 8, "failed")]
    assert told[0]["owner"] == "ada" and told[0]["accuracy"] == 0.5 and told[0]["event"] == "ended"
    headers, body = received[0]
    assert headers["X-Analogjax-Signature"] == "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()


def test_it_is_tried_until_it_is_taken_and_given_up_after_a_day(ledger):
    with listener([500, 302, 404]) as (url, received):
        notices = Notices(ledger.database, url)
        end(ledger, "a" * 8)
        assert [notices.round() for _ in range(5)] == [False, False, False, True, True] and len(received) == 4
        assert "X-Analogjax-Signature" not in received[0][0]
    notices = Notices(ledger.database, url)  # nobody listens
    end(ledger, "b" * 8)
    assert not notices.round()
    with ledger.database.transaction() as session:
        session.execute(sa.update(Experiment).values(ended=Experiment.ended - 90_000.0))
    notices.since -= 100_000.0
    assert notices.round()


def test_one_that_runs_again_is_told_again(ledger):
    with listener() as (url, received):
        notices = Notices(ledger.database, url)
        owner = end(ledger, "a" * 8, "failed")
        assert notices.round()
        ledger.rerun(owner, "a" * 8)
        claim = ledger.claim()
        ledger.finish("a" * 8, claim.attempt, "completed", None, [])
        assert notices.round()
    assert [json.loads(body)["status"] for _, body in received] == ["failed", "completed"]


def test_a_service_tells_its_webhook(tmp_path):
    with listener() as (url, received), service_in_thread(tmp_path / "home", Idle(), webhook=url) as service:
        assert service.put(f"/api/v1/experiments/{'a' * 8}", json=submission()).status_code == 201
        ledger = service.app.state.experiments.ledger
        until(lambda: ledger.find("a" * 8).dispatched, 20)
        ledger.finish("a" * 8, 1, "completed", None, [])
        until(lambda: received, 20, "the webhook")
