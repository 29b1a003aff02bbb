"""Experiments that really run: results, resumption, failure, cancelling, time limits, and restarts of the service."""

import io
import json
import os
import signal
import time

import jax
import numpy as np
import pytest

from analogjax import LocalRunner
from analogjax.cloud.description import Description
from analogjax.cloud.executors.local import LocalExecutor
from analogjax.cloud.quota import Limits
from analogjax.cloud.wire import tensors, training
from tests.cloud.executors.clusters import until
from tests.cloud.experiments import described, submission
from tests.cloud.experiments import training as experiment
from tests.cloud.running_service import ROOT, end_all, service_in_thread

LONG = 4000  # epochs: more than any test waits for


def environment():
    """Compiled programs are shared with the other tests."""
    return {"JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("running")
    executor = LocalExecutor(home / "jobs", workers=2)
    with service_in_thread(
        home, executor, limits=Limits(lease=8.0, backoff=0.1, attempts=3), worker_environment=environment()
    ) as running:
        yield running
    end_all(executor)


def put(service, id, **given):
    answer = service.put(f"/api/v1/experiments/{id}", json=submission(**given))
    assert answer.status_code == 201, answer.text


def file(service, id, name):
    answer = service.get(f"/api/v1/experiments/{id}/files/{name}")
    assert answer.status_code == 200, answer.text
    return answer.content


def kill_worker(service, id):
    """`kill -9` the worker of the current attempt; returns its number."""
    attempt = service.get(f"/api/v1/experiments/{id}").json()["attempt"]
    record = json.loads((service.settings.home / "jobs" / f"ajx-{id}-{attempt}.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    return attempt


def running(service, id, epochs=1):
    """Wait until the experiment has done some epochs."""
    until(lambda: service.get(f"/api/v1/experiments/{id}").json()["epochs_done"] >= epochs, 90, "the first epochs")


def test_a_run_gives_what_a_local_run_gives(service):
    put(service, "a" * 8, epochs=3)
    ended = service.until("a" * 8, "completed")
    local = LocalRunner("cpu").run(experiment(3), seed=1, stdout=False)
    names = ("epoch", "accuracy", "train_loss", "valid_loss")
    assert [[e[n] for n in names] for e in ended["epochs"]] == [[e[n] for n in names] for e in local]
    weights = training.weights_in(file(service, "a" * 8, "output.pb"))
    variables = tensors.variables_of(Description.from_json(described(3)), weights)
    for mine, theirs in zip(jax.tree.leaves(local.variables), jax.tree.leaves(variables), strict=True):
        assert np.array_equal(mine, theirs)
    with np.load(io.BytesIO(file(service, "a" * 8, "weights.npz"))) as plain:
        assert plain["layers_1.weight"].shape == (8, 64) and plain["layers_3.bias"].shape == (10,)
    assert json.loads(file(service, "a" * 8, "results.json")) == ended["epochs"]
    assert file(service, "a" * 8, "results.csv").startswith(b"epoch,time_epoch,accuracy,train_loss,valid_loss\r\n0,")
    tiles = json.loads(file(service, "a" * 8, "tiles.json"))
    assert [tile["layer"] for tile in tiles] == [1, 3] and sum(tiles[0]["histogram"]["counts"]) == 8 * 64
    assert len(tiles[0]["response"]["curves"]) == 3
    assert "attempt 1, on cpu" in service.get(f"/api/v1/experiments/{'a' * 8}/logs").text


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_result_is_the_same(service):
    epochs = 120
    put(service, "b" * 8, epochs=epochs)
    running(service, "b" * 8)
    assert kill_worker(service, "b" * 8) == 1
    ended = service.until("b" * 8, "completed", "failed", seconds=180)
    assert ended["status"] == "completed" and ended["attempt"] == 2 and len(ended["epochs"]) == epochs
    local = LocalRunner("cpu").run(experiment(epochs), seed=1, stdout=False)
    assert [e["train_loss"] for e in ended["epochs"]] == [e["train_loss"] for e in local]


def test_cancelling_a_run(service):
    put(service, "c" * 8, epochs=LONG)
    running(service, "c" * 8)
    assert service.post(f"/api/v1/experiments/{'c' * 8}/cancel").json()["cancelling"]
    ended = service.until("c" * 8, "cancelled", seconds=30)
    assert ended["reason"] == "cancelled by its owner" and 0 < len(ended["epochs"]) < LONG


@pytest.mark.slow
def test_a_run_that_can_not_be_done_fails_at_once_with_its_reason(service):
    put(service, "d" * 8, epochs=3, learning_rate=1e38)
    ended = service.until("d" * 8, "completed", "failed")
    assert ended["status"] == "failed" and "learning rate" in ended["reason"] and ended["attempt"] == 1
    description = described(1) | {"dataset": "CIFAR10"}
    description["layers"][1]["in_features"] = 3072
    body = {"name": "n", "device": "cpu", "description": description}
    assert service.put(f"/api/v1/experiments/{'e' * 8}", json=body).status_code == 201
    ended = service.until("e" * 8, "failed", seconds=180)
    assert "CIFAR10" in ended["reason"]


@pytest.mark.slow
def test_a_worker_that_always_dies_fails_with_the_reason(tmp_path):
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -9 $$\n")
    dying.chmod(0o700)
    given = {"limits": Limits(lease=8.0, backoff=0.1, attempts=3), "worker_python": str(dying)}
    with service_in_thread(tmp_path, LocalExecutor(tmp_path / "jobs"), **given) as service:
        put(service, "f" * 8, epochs=LONG)
        ended = service.until("f" * 8, "failed", seconds=60)
    assert "ended without a result" in ended["reason"] and "3 attempts in a row" in ended["reason"]
    assert ended["attempt"] == 3 and ended["epochs_done"] == 0


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(service):
    put(service, "1" * 8, epochs=LONG)
    running(service, "1" * 8)
    record = json.loads((service.settings.home / "jobs" / f"ajx-{'1' * 8}-1.json").read_text())
    os.kill(record["pid"], signal.SIGSTOP)
    until(lambda: service.get(f"/api/v1/experiments/{'1' * 8}").json()["attempt"] == 2, 60, "the second attempt")
    running(service, "1" * 8, 2)
    service.post(f"/api/v1/experiments/{'1' * 8}/cancel")
    service.until("1" * 8, "cancelled", seconds=30)


@pytest.mark.slow
def test_the_time_limit(service):
    ledger = service.app.state.experiments.ledger
    before = ledger.limits
    ledger.limits = Limits(lease=8.0, backoff=0.1, attempts=3, seconds=1.0)
    try:
        put(service, "2" * 8, epochs=LONG)
        ended = service.until("2" * 8, "failed", "completed", "cancelled", seconds=60)
        assert ended["status"] == "failed" and "time limit of 1 s" in ended["reason"]
    finally:
        ledger.limits = before


@pytest.mark.slow
def test_a_service_that_goes_away_and_comes_back(tmp_path):
    """Its worker goes on meanwhile, and the result is found."""
    home, limits = tmp_path / "home", Limits(lease=8.0, backoff=0.1)
    given = {"limits": limits, "worker_environment": environment()}
    with service_in_thread(home, LocalExecutor(home / "jobs"), **given) as first:
        put(first, "a" * 8, epochs=100)
        running(first, "a" * 8)
    time.sleep(1)
    port = first.settings.port
    with service_in_thread(home, LocalExecutor(home / "jobs"), port, **given) as second:
        ended = second.until("a" * 8, "completed", "failed", seconds=120)
        assert ended["status"] == "completed" and ended["attempt"] == 1 and len(ended["epochs"]) == 100
