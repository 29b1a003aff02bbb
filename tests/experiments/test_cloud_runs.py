"""Training that is saved to a bucket: the machine may vanish, and the run ends with the same bits elsewhere."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_run import bits, experiment

from analogjax import LocalRunner
from analogjax.experiments import CheckpointOptions, Hooks, Results
from analogjax.store import CheckpointError, Checkpoints, Location, read_run
from analogjax.store.transfer import Retry
from tests.store.fault_proxy import FaultProxy
from tests.store.servers import gcs_server, make_place, s3_server  # noqa: F401

EVERY = CheckpointOptions(every_steps=3)

PROGRAM = Path(__file__).with_name("small_run.py")


class Lost(Exception):
    """The machine is gone."""


def run(place=None, on_batch=None, on_epoch=None, **options):
    hooks = Hooks(on_batch=on_batch, on_epoch=on_epoch)
    return LocalRunner().run(
        experiment(3), 160, stdout=False, seed=5, checkpoint_dir=place, checkpoints=EVERY, hooks=hooks, **options
    )


@pytest.mark.parametrize("kind", ["s3", pytest.param("gs", marks=pytest.mark.slow)])
def test_resumed_from_the_bucket_mid_epoch_it_ends_with_the_same_bits(kind, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole, place = bits(run()), make_place(kind, request)

    def vanish(event):
        if (event.epoch, event.step) == (1, 7):
            raise Lost

    with pytest.raises(Lost):
        run(place, on_batch=vanish)
    saved = Checkpoints(place, read_only=True)
    assert saved.latest() == 10 + 6, "the checkpoint before the loss lies in the middle of the second epoch"
    seen = []
    assert bits(run(place, on_batch=lambda event: seen.append((event.epoch, event.step)))) == whole
    assert seen[0] == (1, 6)
    assert os.listdir(tmp_path) == [], "nothing of it was on the local disk"
    accuracy = {step: saved.metrics(step).get("accuracy") for step in saved.steps()}
    best = max(entry["accuracy"] for entry in whole["results"])
    assert accuracy[saved.best()] == best and saved.latest() == 30


def test_a_storage_that_fails_for_good_stops_the_run_and_the_older_checkpoints_stay(s3_server):  # noqa: F811
    with FaultProxy(s3_server.url) as proxy:
        plain = s3_server.location()
        place = Location.of(plain.url, storage_options={**s3_server.options, "endpoint_url": proxy.url})
        place._medium.retry = Retry(attempts=2, first=0.01)

        def break_down(event):
            while Checkpoints(plain, read_only=True).latest() != 9:
                time.sleep(0.05)
            proxy.rule("status", code=403, method="PUT")

        with pytest.raises(CheckpointError, match=r"could not be written to s3://.*refuse"):
            run(place, on_epoch=break_down)
    assert Checkpoints(plain).latest() == 9


def test_a_bucket_that_is_not_there_is_told_before_training(s3_server):  # noqa: F811
    with pytest.raises(CheckpointError, match=r"s3://no-such-bucket/run.*bucket"):
        run("s3://no-such-bucket/run", storage_options=s3_server.options)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_killed_and_gone_on_with_in_another_process(kind, request, tmp_path):
    place = make_place(kind, request)
    address = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST"}[kind]
    environment = os.environ | {
        address: place.storage_options["endpoint_url"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TEST_JAX_CACHE": str(tmp_path / "cache"),
    }

    def start(folder, output):
        command = [sys.executable, str(PROGRAM), str(folder), str(tmp_path / output), "6"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    assert start("-", "whole.json").wait(300) == 0
    process = start(place.url, "killed.json")
    watch = Checkpoints(place, read_only=True)
    while (watch.latest() or 0) < 25:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert not (tmp_path / "killed.json").exists()
    assert start(place.url, "resumed.json").wait(300) == 0
    assert (tmp_path / "resumed.json").read_text() == (tmp_path / "whole.json").read_text()


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_record_holds_the_metrics_and_the_trained_model(kind, request):
    place = make_place(kind, request)
    results = run(record=place)
    record = read_run(place)
    assert record.status["status"] == "completed" and record.epochs == list(results) and record.seed == 5
    assert record.config["learning_rate"] == 0.05 and record.config["epochs"] == 3 and record.environment["analogjax"]
    models = Checkpoints(place / "model", read_only=True)
    restored, meta = models.restore(results.variables)
    assert bits(Results(meta["epochs"], restored)) == bits(results)


def test_a_record_of_a_run_that_failed_says_so(tmp_path):
    def vanish(event):
        raise Lost("the machine is gone")

    with pytest.raises(Lost):
        run(record=tmp_path / "run", on_epoch=vanish)
    record = read_run(tmp_path / "run")
    assert record.status["status"] == "failed" and "the machine is gone" in record.status["error"]
    assert [entry["epoch"] for entry in record.epochs] == [0]
