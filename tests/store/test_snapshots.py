"""Snapshots: living writers are left alone, the dead are swept, and a reader never misses a name."""

import os
import threading
from pathlib import Path

import pytest

from analogjax.store import SnapshotError, snapshot


def write(folder):
    (folder / "a.txt").write_text("a")


def test_what_is_published_is_what_was_written(tmp_path):
    path = snapshot.publish(tmp_path, "one", write, {"n": [1, float("inf")]})
    manifest = snapshot.verify(path)
    assert (path, manifest.name, manifest.meta) == (tmp_path / "one", "one", {"n": [1, float("inf")]})
    assert [(file.name, file.size) for file in manifest.files] == [("a.txt", 1)]
    assert snapshot.list_snapshots(tmp_path) == {"one": path}


def test_an_error_of_the_writer_is_passed_on_and_leaves_nothing(tmp_path):
    def fail(folder):
        write(folder)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        snapshot.publish(tmp_path, "one", fail, {})
    assert os.listdir(tmp_path) == [".lock"]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", ".."])
def test_names_that_would_hide_or_escape_are_refused(tmp_path, name):
    with pytest.raises(SnapshotError, match="cannot name"):
        snapshot.publish(tmp_path, name, write, {})


def test_a_file_of_the_user_is_not_replaced(tmp_path):
    (tmp_path / "one").write_text("mine")
    with pytest.raises(SnapshotError, match="move the file away"):
        snapshot.publish(tmp_path, "one", write, {})
    assert (tmp_path / "one").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == [".lock", "one"]


def test_the_staging_of_a_living_writer_is_not_swept(tmp_path):
    def slow(folder):
        write(folder)
        snapshot.prepare(tmp_path)  # another run opens the folder meanwhile

    snapshot.publish(tmp_path, "one", slow, {})
    assert (tmp_path / "one" / "a.txt").exists()


def test_orphans_are_swept(tmp_path):
    for name in (".staging-1", ".staging-2", ".trash-3"):
        (tmp_path / name / "content").mkdir(parents=True)
    (tmp_path / ".staging-2" / "OWNER").write_text(f"pid {os.getpid()}")  # a number says nothing, the lock does
    snapshot.prepare(tmp_path)
    assert os.listdir(tmp_path) == [".lock"]


def test_a_reader_never_misses_a_name_that_is_being_replaced(tmp_path):
    snapshot.publish(tmp_path, "one", write, {})
    done = threading.Event()
    missed = []

    def read():
        while not done.is_set():
            if "one" not in snapshot.list_snapshots(tmp_path):
                missed.append(sorted(os.listdir(tmp_path)))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        snapshot.publish(tmp_path, "one", write, {})
    done.set()
    reader.join()
    assert missed == []


def test_a_reader_waits_while_names_change(tmp_path):
    snapshot.publish(tmp_path, "one", write, {})
    reader = threading.Thread(target=snapshot.list_snapshots, args=(tmp_path,))
    with snapshot.file_lock.held(tmp_path / ".lock"):
        reader.start()
        reader.join(0.2)
        assert reader.is_alive()
    reader.join(10)
    assert not reader.is_alive()


def test_deleting_twice(tmp_path):
    path = snapshot.publish(tmp_path, "one", write, {})
    snapshot.delete(path)
    assert os.listdir(tmp_path) == [".lock"]
    with pytest.raises(SnapshotError, match="no snapshot"):
        snapshot.delete(path)


def test_a_lock_that_is_never_released_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot.file_lock, "TIMEOUT", 0.05)
    snapshot.prepare(tmp_path)
    with (
        snapshot.file_lock.held(tmp_path / ".lock"),
        pytest.raises(SnapshotError, match=r"another process has held this lock(.|\n)*\.lock"),
    ):
        snapshot.publish(tmp_path, "one", write, {})
    snapshot.publish(tmp_path, "one", write, {})


def test_a_folder_that_vanished_is_explained(tmp_path):
    root = tmp_path / "gone"
    for use in (lambda: snapshot.list_snapshots(root), lambda: snapshot.publish(root, "one", write, {})):
        with pytest.raises(SnapshotError, match="check the path"):
            use()
    assert not root.exists()
    with pytest.raises(SnapshotError, match="gone or damaged"):
        snapshot.read_manifest(Path(root))
