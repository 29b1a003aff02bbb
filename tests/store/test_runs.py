"""Records of runs: written as they go, whole at any moment, gone on with, listed, removed; on every kind of place."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analogjax.store import Location, StoreError
from analogjax.store.process import this_process
from analogjax.store.run_folder import FORMAT, NotARun, age
from analogjax.store.runs import RunError, RunRecord, list_runs, new_run_id, read_run, remove_run

CONFIG = {"dataset": "Digits", "device": "SoftBounds", "layers": (8, 4), "set": {"dw_min": 0.002}, "epochs": 3}


def entry(epoch, accuracy=0.5):
    return {"epoch": epoch, "time_epoch": 1.5, "accuracy": accuracy, "train_loss": float("inf")}


def begin(where, **changes):
    return RunRecord.begin(where, **{"config": CONFIG, "seed": 1, **changes})


def change(location, name, **changes):
    """Edit one of the record's own files."""
    location.write(name, json.dumps(json.loads(location.read(name)) | changes).encode())


ELSEWHERE = {"host": "far", "machine": "another", "pid": 1, "started": 1}


def test_a_run_from_begin_to_removal(place):
    record = begin(place / "a", facts={"computed_on": "cpu:0"})
    begun = read_run(place / "a")
    assert begun.status["status"] == "running" and begun.epochs == [] and record.id == begun.id == "a"
    record.epoch(entry(0, 0.25))
    record.epoch(entry(1, 0.75))
    record.epoch(entry(2))
    assert read_run(place / "a").epochs == [entry(0, 0.25), entry(1, 0.75), entry(2)]
    record.add("report.md", b"# a")
    record.finish("completed")
    run = read_run(place / "a")
    assert run.config == CONFIG | {"layers": [8, 4]} and run.seed == 1
    assert run.environment["computed_on"] == "cpu:0" and run.environment["packages"]["jax"]
    assert run.status["status"] == run.state == "completed" and run.status["ended"]
    assert (run.best["epoch"], run.last["epoch"], run.seconds) == (1, 2, 4.5)
    names = ["config.json", "environment.json", "metrics.jsonl", "report.md", "status.json"]
    assert [file.name for file in run.files] == names and run.size == sum(file.size for file in run.files)

    (place / "other").write("config.json", b'{"a": 1}')
    (place / "plain").write("x/y.txt", b"")
    (one,) = list_runs(place)
    assert (one.id, one.status, one.dataset, one.device, one.seed) == ("a", "completed", "Digits", "SoftBounds", 1)
    assert (one.epochs, one.planned_epochs, one.best_accuracy, one.last_accuracy) == (3, 3, 0.75, 0.5)
    assert one.size == run.size and one.seconds == 4.5 and one.error is None

    (place / "a" / "checkpoints").write("step_1/arrays", b"12")
    remove_run(place / "a")
    assert list_runs(place) == [] and (place / "a").list() == []
    with pytest.raises(NotARun):
        read_run(place / "a")
    assert (place / "other").read("config.json") == b'{"a": 1}'


def test_it_is_gone_on_with(place):
    record = begin(place)
    for epoch in range(4):
        record.epoch(entry(epoch))
    again = begin(place)
    assert [one["epoch"] for one in again.epochs] == [0, 1, 2, 3]
    again.epoch(entry(2, 0.875))  # the checkpoint was of the end of epoch 1
    assert read_run(place).epochs == [entry(0), entry(1), entry(2, 0.875)]
    again.go_on_from([entry(0)])
    again.epoch(entry(1))
    assert read_run(place).epochs == [entry(0), entry(1)]
    again.finish("interrupted")
    third = begin(place)
    run = read_run(place)
    assert (run.status["status"], run.status["resumed"], len(run.environment["resumed"])) == ("running", 2, 2)
    third.finish("failed", "ValueError: https://user:hidden@host/ is not there")
    assert read_run(place).status["error"] == "ValueError: https://***@host/ is not there"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2}, "seed was 1 there and is 2 here"),
        ({"config": CONFIG | {"set": {"dw_min": 0.003}}}, "set.dw_min was 0.002 there and is 0.003 here"),
        ({"config": CONFIG | {"lr": 1.0}}, "lr was '(absent)' there and is 1.0 here"),
        ({"config": {k: v for k, v in CONFIG.items() if k != "device"}}, "device was 'SoftBounds' there"),
        ({"config": CONFIG | {"epochs": 3.0}}, "epochs was 3 there and is 3.0 here"),
    ],
)
def test_another_run_is_refused_and_nothing_touched(tmp_path, changes, message):
    begin(tmp_path / "a").finish("completed")
    before = contents(tmp_path)
    with pytest.raises(RunError, match=re.escape(message)):
        begin(tmp_path / "a", **changes)
    assert contents(tmp_path) == before


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_fields_that_may_differ_are_recorded_anew(tmp_path):
    begin(tmp_path / "a")
    begin(tmp_path / "a", config=CONFIG | {"epochs": 9, "on": "cpu"}, may_differ=("epochs", "on"))
    assert read_run(tmp_path / "a").config["epochs"] == 9


@pytest.mark.parametrize("name", ["notes.txt", "config.json", "step_1/arrays", "status.json"])
def test_files_that_are_no_run_are_left_alone(place, name):
    place.write(name, b"{}")
    with pytest.raises(RunError, match="no run"):
        begin(place)
    with pytest.raises(NotARun):
        remove_run(place, force=True)
    assert [(file.name, file.size) for file in place.list()] == [(name, 2)]
    with pytest.raises(NotARun):
        read_run(place)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises((RunError, StoreError), match="a "):
        begin(tmp_path / "a")
    assert (tmp_path / "a").read_text() == ""


def test_values_that_cannot_be_recorded(tmp_path):
    with pytest.raises(TypeError, match=r"config\['x'\]"):
        begin(tmp_path / "a", config={"x": np.zeros(2)})
    with pytest.raises(RunError, match="seed"):
        begin(tmp_path / "a", seed="1")
    assert not (tmp_path / "a").exists()
    record = begin(tmp_path / "a")
    before = contents(tmp_path)
    with pytest.raises(TypeError, match=r"entry\['accuracy'\]"):
        record.epoch(entry(0, np.float32(1)))
    with pytest.raises(RunError, match="epoch None"):
        record.epoch({"accuracy": 1.0})
    with pytest.raises(RunError, match="file of the record itself"):
        record.add("status.json", b"")
    with pytest.raises(RunError, match="can't end as 'done'"):
        record.finish("done")
    assert contents(tmp_path) == before


def test_no_secret_is_written(tmp_path, monkeypatch):
    secret = "verySecret123"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setattr(sys, "orig_argv", ["python", "x.py", "--token", secret])
    config = CONFIG | {"api_key": secret, "root": f"https://me:{secret}@host/data"}
    options = {"key": "k", "secret": secret}
    record = RunRecord.begin(tmp_path / "a", config=config, seed=1, facts={"password": secret}, storage_options=options)
    record.finish("failed", f"token={secret}")
    begin(tmp_path / "a", config=config)  # is the same run
    assert not [path for path, data in contents(tmp_path).items() if secret.encode() in data]


def test_a_line_torn_by_a_crash_is_left_out_and_mended(tmp_path):
    record = begin(tmp_path / "a")
    record.epoch(entry(0))
    with open(tmp_path / "a" / "metrics.jsonl", "ab") as file:
        file.write(b'{"epoch": 1, "accu')
    assert read_run(tmp_path / "a").epochs == [entry(0)]
    begin(tmp_path / "a").epoch(entry(1))
    assert read_run(tmp_path / "a").epochs == [entry(0), entry(1)]


@pytest.mark.parametrize("last", ["config.json", "environment.json"])
def test_a_run_stopped_in_its_first_moment_is_listed_and_begun_again(place, last):
    begin(place / "a")
    names = ["config.json", "environment.json", "status.json"]
    (place / "a").delete(*names[names.index(last) + 1 :])
    (one,) = list_runs(place)
    assert one.status == "damaged" and "is missing" in one.error
    begin(place / "a").finish("completed")
    assert read_run(place / "a").status["status"] == "completed"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("status.json", b"{", "status.json is damaged"),
        ("status.json", b'{"format": "analogjax-run-1"}', "status is None"),
        ("config.json", b"\xff", "config.json is damaged"),
        ("metrics.jsonl", b"1\n2\n", "Line 1 of .*metrics.jsonl is damaged"),
        ("metrics.jsonl", b'{"epoch": 0}\n{"epoch"\n', "Line 2 of .*metrics.jsonl is damaged"),
        ("config.json", b'{"format": "analogjax-run-7"}', "newer analogjax"),
    ],
)
def test_a_damaged_run_is_named_listed_and_removable(tmp_path, name, data, message):
    begin(tmp_path / "a").finish("completed")
    begin(tmp_path / "b").finish("completed")
    (tmp_path / "a" / name).write_bytes(data)
    with pytest.raises(RunError, match=message):
        read_run(tmp_path / "a")
    fine, damaged = list_runs(tmp_path)
    assert (fine.id, fine.error, damaged.id, damaged.status) == ("b", None, "a", "damaged")
    assert re.search(message, damaged.error)
    with pytest.raises(RunError):
        begin(tmp_path / "a")
    remove_run(tmp_path / "a")
    assert os.listdir(tmp_path) == ["b"]


def test_newest_first_and_nothing_from_nowhere(tmp_path):
    for name in ("b", "c", "a"):
        begin(tmp_path / name)
    change(Location.of(tmp_path / "b"), "config.json", begun="2020-01-01T00:00:00.000+00:00")
    change(Location.of(tmp_path / "b"), "status.json", begun="2020-01-01T00:00:00.000+00:00")
    assert [one.id for one in list_runs(tmp_path)][-1] == "b"
    assert list_runs(tmp_path / "not-there") == []


def test_what_is_running_is_not_removed(tmp_path):
    place = Location.of(tmp_path / "a")
    begin(place)
    with pytest.raises(RunError, match="is running"):  # by this process
        remove_run(place)
    change(place, "status.json", process=ELSEWHERE)
    assert read_run(place).state == "running (last sign of life 0 s ago)"
    with pytest.raises(RunError, match="is running"):
        remove_run(place)
    old = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    change(place, "status.json", updated=old)
    assert list_runs(tmp_path)[0].state == "running (last sign of life 3 h ago)"
    remove_run(place)
    begin(place)
    remove_run(place, force=True)
    assert not place.path.exists()


def test_the_dead_are_told_from_the_living(tmp_path):
    program = (
        "import sys; from analogjax.store.runs import RunRecord\n"
        "RunRecord.begin(sys.argv[1], config={}, seed=1); print('begun', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "a")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        if this_process()["machine"] is not None:
            assert read_run(tmp_path / "a").state == "running"
            with pytest.raises(RunError, match=f"being written by process {process.pid}"):
                begin(tmp_path / "a", config={})
        process.kill()
    assert re.fullmatch(r"(died|running) \(last sign of life \d+ s ago\)", read_run(tmp_path / "a").state)
    begin(tmp_path / "a", config={})


def test_other_runs_and_links_are_not_removed_along(tmp_path):
    begin(tmp_path / "a").finish("completed")
    begin(tmp_path / "a" / "inner" / "b").finish("completed")
    with pytest.raises(RunError, match="holds another run, inner/b"):
        remove_run(tmp_path / "a", force=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "inner" / "b")
    with pytest.raises(RunError, match="is a link"):
        remove_run(tmp_path / "link")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    inner = tmp_path / "a" / "inner" / "b"
    (inner / "data").symlink_to(outside)
    remove_run(inner)
    assert not inner.exists() and (outside / "kept.txt").read_text() == "kept"


def test_what_a_removal_left_is_still_a_run_that_can_be_removed(tmp_path, monkeypatch):
    begin(tmp_path / "a").finish("completed")
    Location.of(tmp_path / "a").write("checkpoints/x", b"1")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refuse)
        with pytest.raises(StoreError, match="Permission denied"):
            remove_run(tmp_path / "a")
    assert read_run(tmp_path / "a").state == "completed"
    remove_run(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_of_two_that_begin_one_wins(tmp_path, monkeypatch):
    other = []

    def occupied(location):
        other.append(location.write("config.json", json.dumps({"format": FORMAT}).encode()))
        return False

    monkeypatch.setattr("analogjax.store.runs._occupied", occupied)
    with pytest.raises(RunError, match="Another process has just begun"):
        begin(tmp_path / "a")
    assert os.listdir(tmp_path / "a") == ["config.json"]


def test_signs_of_life_are_given_now_and_then(tmp_path, monkeypatch):
    record = begin(tmp_path / "a")
    before = (tmp_path / "a" / "status.json").read_bytes()
    record.epoch(entry(0))
    assert (tmp_path / "a" / "status.json").read_bytes() == before  # epochs of milliseconds would pay for it
    monkeypatch.setattr("analogjax.store.runs._HEARTBEAT", 0.0)
    record.epoch(entry(1))
    assert (tmp_path / "a" / "status.json").read_bytes() != before


def test_ids_are_sortable_safe_and_unique():
    ids = {new_run_id("Fashion MNIST/../é") for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_fashion-mnist_[0-9a-f]{6}", one) for one in ids)
    assert re.fullmatch(r".*_run_[0-9a-f]{6}", new_run_id("…"))


@pytest.mark.parametrize(("seconds", "text"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7300, "2 h"), (2e5, "2 d")])
def test_ages(seconds, text):
    assert age((datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()) == text
