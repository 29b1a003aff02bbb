"""Snapshots and checkpoints in buckets: whole or absent, whatever fails."""

import json
import os
import shutil
import threading
import warnings
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from analogjax.store import CheckpointError, Checkpoints, Location, SnapshotError, bucket_snapshots
from analogjax.store.bucket_snapshots import BucketSnapshots
from analogjax.store.disk_snapshots import DiskSnapshots
from analogjax.store.snapshots import snapshots_at
from analogjax.store.transfer import Retry
from tests.store.fault_proxy import FaultProxy
from tests.store.servers import make_place, s3_client

QUICK = Retry(attempts=3, first=0.01)


@pytest.fixture(params=["memory", "s3", "gs"])
def cloud(request):
    """A new, empty folder of each kind of bucket."""
    return make_place(request.param, request)


def files(**contents):
    def write(folder: Path):
        (folder / "deep").mkdir()
        for name, content in contents.items():
            (folder / "deep" / name).write_text(content)

    return write


def content(snapshots, name):
    with snapshots.open(name) as (folder, manifest):
        found = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
        return {k: v for k, v in found.items() if k != "MANIFEST.json"}, manifest.meta


def test_publish_list_open_replace_delete(cloud):
    snapshots = snapshots_at(cloud)
    assert isinstance(snapshots, BucketSnapshots) and snapshots.names() == []
    snapshots.prepare()
    assert snapshots.publish("a", files(x="1", y="2"), {"n": 1}) == f"{cloud}/a"
    snapshots.publish("b", files(x="3"), {})
    assert snapshots.names() == ["a", "b"] and snapshots.exists("a") and not snapshots.exists("c")
    assert content(snapshots, "a") == ({"x": "1", "y": "2"}, {"n": 1})
    assert {file.name for file in snapshots.check("a").files} == {"deep/x", "deep/y"}
    snapshots.publish("a", files(z="4"), {"n": 2})
    assert content(snapshots, "a") == ({"z": "4"}, {"n": 2})
    assert len(cloud.list("a")) == 2  # the replaced files are gone
    snapshots.delete("a")
    assert snapshots.names() == ["b"] and cloud.list("a") == []
    for call in (snapshots.delete, snapshots.check, snapshots.manifest):
        with pytest.raises(SnapshotError, match="/a"):
            call("a")
    with pytest.raises(SnapshotError, match="cannot name"):
        snapshots.publish("a/b", files(), {})


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n", b"", b"--==0==--"], ids=repr)
def test_files_that_end_like_a_line(cloud, end, tmp_path):
    """gcsfs alone loses a carriage return at the end of a file."""
    (tmp_path / "file").write_bytes(b"data" + end)
    cloud.upload(tmp_path / "file", "a")
    cloud.write("b", b"data" + end)
    cloud.create("c", b"data" + end)
    assert [cloud.read(name) for name in "abc"] == [b"data" + end] * 3


def test_a_snapshot_may_be_copied_by_hand_to_the_disk_and_back(cloud, tmp_path):
    """Only the manifest decides, so a copy without any marker of a store stays valid (orbax #394)."""
    snapshots = snapshots_at(cloud)
    snapshots.publish("a", files(x="1"), {})
    for entry in cloud.list():
        (tmp_path / entry.name).parent.mkdir(parents=True, exist_ok=True)
        cloud.download(entry.name, tmp_path / entry.name)
    local = DiskSnapshots(tmp_path)
    local.prepare()
    assert local.names() == ["a"] and content(local, "a")[0] == {"x": "1"}
    local.publish("b", files(x="2"), {})
    for path in (tmp_path / "b").rglob("*"):
        if path.is_file():
            cloud.upload(path, path.relative_to(tmp_path).as_posix())
    assert content(snapshots, "b")[0] == {"x": "2"}


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "manifest"])
def test_damage_is_found_and_named(cloud, damage):
    snapshots = snapshots_at(cloud)
    snapshots.publish("a", files(x="12345"), {})
    name = next(entry.name for entry in cloud.list() if entry.name.endswith("MANIFEST.json") == (damage == "manifest"))
    if damage == "missing":
        cloud.delete(name)
    else:
        data = cloud.read(name)
        cloud.write(name, {"cut": data[:-1], "flipped": b"0" + data[1:], "manifest": data[:-7]}[damage])
    with pytest.raises(SnapshotError, match=name.rpartition("/")[2]), snapshots.open("a"):
        pass
    if damage != "flipped":
        with pytest.raises(SnapshotError):
            snapshots.check("a")


def test_only_old_leftovers_are_swept(cloud, monkeypatch):
    snapshots = snapshots_at(cloud)
    snapshots.publish("a", files(x="1"), {})
    attempt = snapshots.manifest("a").attempt
    old, new = f"20200101T000000-{'0' * 32}", attempt[:16] + "1" * 32
    for name in (f"a/{old}/x", f"b/{old}/deep/x", f"a/{new}/x", "a/notes.txt", "mine/by hand/x"):
        cloud.write(name, b"left")
    assert snapshots.names() == ["a"]
    assert snapshots.sweep(older_than=3600) == [f"a/{old}", f"b/{old}"]
    left = {entry.name for entry in cloud.list()}
    assert {f"a/{new}/x", "a/notes.txt", "mine/by hand/x"} <= left and content(snapshots, "a")[0] == {"x": "1"}


def test_parts_of_uploads_that_were_killed_are_swept_too(request):
    location = make_place("s3", request)
    bucket, folder = location.url.split("/", 3)[2:]
    old, new = (f"{datetime.now(UTC) - timedelta(hours=age):%Y%m%dT%H%M%S}-{'0' * 32}" for age in (2, 0))
    with closing(s3_client(request.getfixturevalue("s3_server").url)) as client:
        for name in (f"a/{old}/large", f"a/{new}/large", "mine/by hand/large"):
            client.create_multipart_upload(Bucket=bucket, Key=f"{folder}/{name}")
        assert snapshots_at(location).sweep(older_than=3600) == [f"a/{old}"]
        left = {
            one["Key"].removeprefix(f"{folder}/") for one in client.list_multipart_uploads(Bucket=bucket)["Uploads"]
        }
    assert left == {f"a/{new}/large", "mine/by hand/large"}


def test_writers_at_the_same_time(cloud):
    """Each publishes the same names again and again; every reader finds whole snapshots."""
    snapshots, failures = snapshots_at(cloud), []

    def work(number):
        try:
            for n in range(4):
                text = f"{number} {n}"
                snapshots_at(cloud).publish(f"s{n % 2}", files(x=text, y=text), {"text": text})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and snapshots.names() == ["s0", "s1"]
    for name in snapshots.names():
        found, meta = content(snapshots, name)
        assert set(found.values()) == {meta["text"]}


@pytest.fixture(params=["s3", "gs"])
def faulty(request):
    """A folder behind a proxy that fails on demand: (location, proxy, the same folder without the proxy)."""
    server = request.getfixturevalue({"s3": "s3_server", "gs": "gcs_server"}[request.param])
    with FaultProxy(server.url) as proxy:
        plain = server.location()
        location = Location.of(plain.url, storage_options={**server.options, "endpoint_url": proxy.url})
        location._medium.retry = QUICK
        yield location, proxy, plain


@pytest.mark.parametrize("uploads", [0, 1], ids=["a file", "the manifest"])
def test_a_publication_that_fails_is_invisible_and_harms_nothing(faulty, uploads):
    location, proxy, plain = faulty
    snapshots = BucketSnapshots(location)
    snapshots.publish("a", files(x="old"), {})
    for name in ("a", "b"):
        proxy.clear()
        proxy.rule("status", code=403, method="PUT|POST", skip=uploads)
        with pytest.raises(SnapshotError, match=r"could not be written.*(refuse|403)"):
            snapshots.publish(name, files(x="new"), {})
    proxy.clear()
    assert snapshots.names() == ["a"] and content(BucketSnapshots(plain), "a")[0] == {"x": "old"}
    assert len(plain.list()) == 2  # and nothing of the attempts is left


def test_lost_answers_of_the_commit_do_no_harm(faulty):
    location, proxy, plain = faulty
    proxy.rule("lost_ack", method="PUT|POST", path="MANIFEST", count=1)
    BucketSnapshots(location).publish("a", files(x="1"), {})
    assert content(BucketSnapshots(plain), "a")[0] == {"x": "1"}


def test_a_download_that_is_damaged_on_the_way_is_fetched_again(faulty):
    location, proxy, plain = faulty
    BucketSnapshots(plain).publish("a", files(x="12345678"), {})
    proxy.rule("corrupt_down", method="GET", path=r"deep(/|%2F)x.*(alt=media)?", count=1)
    assert content(BucketSnapshots(location), "a")[0] == {"x": "12345678"}


def tree(n):
    return {"w": np.full(1000, n, np.float32)}


def test_checkpoints_in_a_bucket(cloud, tmp_path, monkeypatch):
    """The arrays are in the bucket, not in a local folder named `s3:`, which is where Orbax alone would put them."""
    monkeypatch.chdir(tmp_path)
    with Checkpoints(cloud, keep_last=1, keep_best=1, background=True) as checkpoints:
        for step, accuracy in ((1, 0.5), (2, 0.9), (3, float("nan")), (4, 0.7)):
            checkpoints.save(step, tree(step), {"step": step}, {"accuracy": accuracy})
    again = Checkpoints(cloud, keep_best=1)  # what is best is known after a restart
    assert again.steps() == [2, 4] and again.latest() == 4 and again.best() == 2
    assert again.metrics(2) == {"accuracy": 0.9} and again.meta(4) == {"step": 4}
    for step in (2, 4):
        restored, meta = again.restore(tree(0), step)
        assert meta == {"step": step} and np.array_equal(restored["w"], tree(step)["w"])
    assert os.listdir(tmp_path) == [] and sum(entry.size for entry in cloud.list()) > 2 * 1000


def test_a_damaged_checkpoint_is_passed_over_and_another_model_is_refused(cloud):
    checkpoints = Checkpoints(cloud)
    for step in (1, 2):
        checkpoints.save(step, tree(step), {})
    largest = max(cloud.list("step_000000000002"), key=lambda entry: entry.size)
    data = bytearray(cloud.read(largest.name))
    data[len(data) // 2] ^= 1
    cloud.write(largest.name, bytes(data))
    with pytest.warns(UserWarning, match="Step 2 is passed over"):
        restored, _ = checkpoints.restore(tree(0))
    assert restored["w"][0] == 1
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.restore(tree(0), 2)
    with pytest.raises(CheckpointError, match="another model"):
        checkpoints.restore({"w": np.zeros(7)}, 1)


def test_nothing_secret_in_a_manifest(s3_server, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    place = s3_server.location()
    Checkpoints(place).save(1, tree(1), {"lr": 0.1})
    manifest = json.loads(place.read("step_000000000001/MANIFEST.json"))
    text = json.dumps(manifest)
    assert manifest["meta"]["origin"]["analogjax"] and manifest["meta"]["origin"]["command"]
    assert "very-secret" not in text and s3_server.options["secret"] not in text


def test_no_room_for_staging_is_explained(cloud, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket_snapshots.tempfile, "mkdtemp", lambda **_: (tmp_path / "absent" / "x").mkdir())
    with pytest.raises(SnapshotError, match="TMPDIR"):
        snapshots_at(cloud).publish("a", files(), {})


def test_restoring_leaves_no_temporary_files(cloud, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket_snapshots.tempfile, "tempdir", str(tmp_path))
    checkpoints = Checkpoints(cloud)
    checkpoints.save(1, tree(1), {})
    with warnings.catch_warnings():
        checkpoints.restore(tree(0))
    assert os.listdir(tmp_path) == []
    assert shutil.disk_usage(tmp_path).free > 0
