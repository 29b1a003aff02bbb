"""Snapshots: living writers are left alone, the dead are swept, and a reader never misses a name."""

import os
import threading

import pytest

from analogjax.store import SnapshotError, file_lock
from analogjax.store.disk_snapshots import DiskSnapshots


def write(folder):
    (folder / "a.txt").write_text("a")


def test_what_is_published_is_what_was_written(tmp_path):
    snapshots = DiskSnapshots(tmp_path)
    path = snapshots.publish("one", write, {"n": [1, float("inf")]})
    with snapshots.open("one") as (folder, manifest):
        assert (str(folder), manifest.name, manifest.meta) == (path, "one", {"n": [1, float("inf")]})
        assert [(file.name, file.size) for file in manifest.files] == [("a.txt", 1)]
    assert snapshots.names() == ["one"] and path == str(tmp_path / "one")


def test_an_error_of_the_writer_is_passed_on_and_leaves_nothing(tmp_path):
    def fail(folder):
        write(folder)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        DiskSnapshots(tmp_path).publish("one", fail, {})
    assert os.listdir(tmp_path) == [".lock"]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", ".."])
def test_names_that_would_hide_or_escape_are_refused(tmp_path, name):
    with pytest.raises(SnapshotError, match="cannot name"):
        DiskSnapshots(tmp_path).publish(name, write, {})


def test_a_file_of_the_user_is_not_replaced(tmp_path):
    (tmp_path / "one").write_text("mine")
    with pytest.raises(SnapshotError, match="move the file away"):
        DiskSnapshots(tmp_path).publish("one", write, {})
    assert (tmp_path / "one").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == [".lock", "one"]


def test_the_staging_of_a_living_writer_is_not_swept(tmp_path):
    def slow(folder):
        write(folder)
        DiskSnapshots(tmp_path).prepare()  # another run opens the folder meanwhile

    DiskSnapshots(tmp_path).publish("one", slow, {})
    assert (tmp_path / "one" / "a.txt").exists()


def test_orphans_are_swept(tmp_path):
    for name in (".staging-1", ".staging-2", ".trash-3"):
        (tmp_path / name / "content").mkdir(parents=True)
    (tmp_path / ".staging-2" / "OWNER").write_text(f"pid {os.getpid()}")  # a number says nothing, the lock does
    (tmp_path / ".staging-4").write_text("no folder")
    DiskSnapshots(tmp_path).prepare()
    assert os.listdir(tmp_path) == [".lock"]


def test_a_reader_never_misses_a_name_that_is_being_replaced(tmp_path):
    DiskSnapshots(tmp_path).publish("one", write, {})
    done = threading.Event()
    missed = []

    def read():
        while not done.is_set():
            if not DiskSnapshots(tmp_path).exists("one"):
                missed.append(sorted(os.listdir(tmp_path)))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        DiskSnapshots(tmp_path).publish("one", write, {})
    done.set()
    reader.join()
    assert missed == []


def test_a_reader_waits_while_names_change(tmp_path):
    DiskSnapshots(tmp_path).publish("one", write, {})
    reader = threading.Thread(target=DiskSnapshots(tmp_path).names)
    with file_lock.held(tmp_path / ".lock"):
        reader.start()
        reader.join(0.2)
        assert reader.is_alive()
    reader.join(10)
    assert not reader.is_alive()


def test_deleting_twice(tmp_path):
    snapshots = DiskSnapshots(tmp_path)
    snapshots.publish("one", write, {})
    snapshots.delete("one")
    assert os.listdir(tmp_path) == [".lock"]
    with pytest.raises(SnapshotError, match="no snapshot"):
        snapshots.delete("one")


@pytest.mark.parametrize("name", [".lock", ".", "..", "a/b", "notes"])
def test_what_is_no_snapshot_is_not_deleted(tmp_path, name):
    snapshots = DiskSnapshots(tmp_path / "root")
    snapshots.prepare()
    (tmp_path / "root" / "notes").write_text("mine")
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    with pytest.raises(SnapshotError, match=r"no snapshot|cannot name"):
        snapshots.delete(name)
    assert sorted(os.listdir(tmp_path / "root")) == [".lock", "a", "notes"] and (tmp_path / "root" / "a" / "b").exists()


def test_a_lock_that_is_never_released_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(file_lock, "TIMEOUT", 0.05)
    DiskSnapshots(tmp_path).prepare()
    with (
        file_lock.held(tmp_path / ".lock"),
        pytest.raises(SnapshotError, match=r"another process has held this lock(.|\n)*\.lock"),
    ):
        DiskSnapshots(tmp_path).publish("one", write, {})
    DiskSnapshots(tmp_path).publish("one", write, {})


def test_a_folder_that_vanished_is_explained(tmp_path):
    root = tmp_path / "gone"
    snapshots = DiskSnapshots(root)
    for use in (snapshots.names, lambda: snapshots.publish("one", write, {}), lambda: snapshots.delete("one")):
        with pytest.raises(SnapshotError, match="check the path"):
            use()
    assert not root.exists()


def test_a_snapshot_without_its_manifest(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(SnapshotError, match="gone or damaged"):
        DiskSnapshots(tmp_path).manifest("one")
