"""What every kind of place promises, for each row of `servers.KINDS`; and that a row is all that a new kind needs."""

import os
import time
from typing import ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from analogjax.errors import MissingPackage
from analogjax.store import AlreadyExists, Checkpoints, Entry, Location, NotFound, SnapshotError, StoreError, backends
from analogjax.store.files import sha256_of
from analogjax.store.medium import Backend
from analogjax.store.snapshots import snapshots_at
from tests.store.servers import KINDS, content

ODD_NAMES = [
    "🦊 and ümlauts.txt", "two  spaces", " outer spaces ", "100%", "a%20b", "1+1=2", "a#b", "a?b=c&d", "[a]*{b}", "a:b",
    "~tilde", "'quote\"", "back\\slash", "-dash", "...", ".hidden", "a@b", "a\tb", "x" * 200,
]  # fmt: skip


def names(entries):
    return [entry.name for entry in entries]


def test_every_row_of_the_library_has_a_row_here():
    assert {backend.protocol for backend in backends.BACKENDS} == set(KINDS)


def test_a_new_place_is_empty(place):
    assert (place.list(), place.folders(), place.list("a"), place.folders("a/b")) == ([], [], [], [])
    assert not place.exists("a") and not place.exists("a/b")
    place.delete("a", "a/b")


def test_what_is_written_is_read_and_replaced(place):
    place.write("a/b.txt", b"one")
    place.write("a/empty", b"")
    assert (place.read("a/b.txt"), place.read("a/empty")) == (b"one", b"")
    place.write("a/b.txt", b"another")
    assert place.read("a/b.txt") == b"another"
    assert place.list() == [Entry("a/b.txt", 7), Entry("a/empty", 0)]


def test_what_is_not_there_is_not_found(place, tmp_path):
    with pytest.raises(NotFound, match=r"There is no .*folder|There is no .*place") as caught:
        place.read("nothing")
    assert isinstance(caught.value, (StoreError, FileNotFoundError)) and "nothing" in str(caught.value)
    with pytest.raises(NotFound, match="nothing"):
        place.download("nothing", tmp_path / "x")
    with pytest.raises(NotFound, match="nothing"):
        place.download("nothing", tmp_path / "x", size=5)
    assert list(tmp_path.glob("*x*")) == list(tmp_path.glob(".*")) == []


def test_create_makes_a_file_once(place, kind):
    place.create("c/one", b"mine")
    place.create("c/one", b"mine")  # the same content is a repeated request of ours
    assert place.read("c/one") == b"mine"
    if not kind.creates_once:
        return
    with pytest.raises(AlreadyExists, match="another name") as caught:
        place.create("c/one", b"theirs")
    assert isinstance(caught.value, FileExistsError) and "c/one" in str(caught.value)
    assert place.read("c/one") == b"mine"


def test_files_go_up_and_come_down(place, tmp_path):
    (tmp_path / "up").write_bytes(content(100_000))
    moved = []
    sent = place.upload(tmp_path / "up", "a/file", progress=moved.append)
    assert sent == Entry("a/file", 100_000, sha256_of(tmp_path / "up"))
    (tmp_path / "down").write_text("old")
    assert place.download("a/file", tmp_path / "down", progress=moved.append) == sent
    assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()
    assert sum(moved) == 200_000
    assert place.download("a/file", tmp_path / "down", size=sent.size, sha256=sent.sha256) == sent
    (tmp_path / "up").write_bytes(b"")
    assert place.upload(tmp_path / "up", "a/file").size == place.download("a/file", tmp_path / "down").size == 0


@pytest.mark.parametrize("wrong", [{"size": 5}, {"sha256": "0" * 64}])
def test_a_download_that_is_not_what_was_expected_is_refused(place, tmp_path, wrong):
    place.write("file", b"content")
    (tmp_path / "down").write_text("old")
    with pytest.raises(StoreError, match=r"file is damaged: (it has 7 bytes and had 5|its SHA-256 is)"):
        place.download("file", tmp_path / "down", **wrong)
    assert (tmp_path / "down").read_text() == "old"
    assert names(Location.of(tmp_path).list()) in (["down"], ["down", "place/file"])


def test_lists_and_folders(place):
    for name in ("a/1", "a/b/2", "ab/3", "z", "a.txt"):
        place.write(name, name.encode())
    assert names(place.list()) == ["a.txt", "a/1", "a/b/2", "ab/3", "z"]
    assert names(place.list("a")) == names(place.list("/a/")) == ["a/1", "a/b/2"]  # neither ab/3 nor a.txt
    assert place.list("z") == place.list("a/1") == place.folders("z") == []  # files are no folders
    assert (place.folders(), place.folders("a"), place.folders("a/b")) == (["a", "ab"], ["b"], [])
    assert place.exists("a/1") and not place.exists("a") and not place.exists("a/")
    assert [entry.size for entry in place.list("a")] == [3, 5]


def test_deleted_files_and_their_folders_are_gone(place):
    for name in ("a/b/c/1", "a/2"):
        place.write(name, b"")
    place.delete("a/b/c/1", "never/there")
    assert (names(place.list()), place.folders("a"), place.exists("a/b/c/1")) == (["a/2"], [], False)
    place.write("a/b/c/1", b"again")
    assert place.read("a/b/c/1") == b"again"


def test_a_folder_of_a_place_is_a_place(place):
    inner = place / "a" / "b/c"
    inner.write("file", b"x")
    assert str(inner) == inner.url == f"{place.url}/a/b/c"
    assert place.read("a/b/c/file") == b"x" and names(inner.list()) == ["file"] and (place / "a").folders() == ["b"]
    assert place / "" is place
    with pytest.raises(NotFound, match=r"a/b/c/nothing"):
        inner.read("nothing")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(place, tmp_path, name):
    (tmp_path / "up").write_bytes(b"uploaded")
    place.write(name, b"x")
    place.create(f"in {name}/{name}", b"new")
    assert (place.read(name), place.exists(name), place.exists(name + "x")) == (b"x", True, False)
    place.upload(tmp_path / "up", name)
    place.download(name, tmp_path / "down", size=8)
    assert sorted(names(place.list())) == sorted([name, f"in {name}/{name}"])
    assert names(place.list(f"in {name}")) == [f"in {name}/{name}"] and place.folders() == [f"in {name}"]
    place.delete(name, f"in {name}/{name}")
    assert place.list() == []


@pytest.mark.parametrize("name", ["", "/", "..", "../x", "a/../../x", "a//b", "a/./b", ".", "a\0b"])
def test_names_that_lead_out_are_refused(place, tmp_path, name):
    (tmp_path / "up").write_bytes(b"")
    for act in (
        lambda: place.read(name), lambda: place.write(name, b""), lambda: place.create(name, b""),
        lambda: place.upload(tmp_path / "up", name), lambda: place.download(name, tmp_path / "x"),
        lambda: place.exists(name), lambda: place.delete(name),
    ):  # fmt: skip
        with pytest.raises(StoreError, match="cannot name a file: give a relative path"):
            act()
    assert place.list() == []


def test_a_leading_slash_stays_inside(place):
    place.write("/etc/file", b"x")
    assert names(place.list()) == ["etc/file"]


def test_a_name_of_300_characters(place, kind):
    name = "n" * 300
    if kind.takes_long_names:
        place.write(name, b"x")
        assert place.read(name) == b"x" and names(place.list()) == [name]
        return
    with pytest.raises(StoreError, match="File name too long"):
        place.write(name, b"x")
    with pytest.raises(StoreError, match="File name too long"):
        place.read(name)


def test_the_local_file_is_named_when_it_is_to_blame(place, tmp_path):
    place.write("file", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=f"{tmp_path}/nothing cannot be read: No such file"):
        place.upload(tmp_path / "nothing", "a")
    with pytest.raises(StoreError, match=f"{tmp_path}/folder cannot be read: Is a directory"):
        place.upload(tmp_path / "folder", "a")
    with pytest.raises(StoreError, match=f"{tmp_path}/no/folder cannot be written: .* The folder is gone"):
        place.download("file", tmp_path / "no" / "folder")
    with pytest.raises(StoreError, match=f"{tmp_path}/folder cannot be written: Is a directory"):
        place.download("file", tmp_path / "folder")
    assert names(place.list()) == ["file"] and not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*"))


def test_drafts_of_killed_writers_are_removed_and_nothing_else(place):
    place.write("folder/file", b"1")
    drafts = []
    if place.path is not None:
        for name, age in [("folder/.part-1", 0), (".part-2", 7200)]:
            drafts.append(name)
            (place.path / name).write_bytes(b"half")
            moment = time.time() - age
            os.utime(place.path / name, (moment, moment))
    assert place.discard_unfinished(older_than=3600) == drafts[1:]
    assert place.discard_unfinished() == drafts[:1]
    assert place.discard_unfinished() == [] and place.read("folder/file") == b"1"
    assert (place / "none").discard_unfinished() == []


def test_snapshots(place):
    snapshots = snapshots_at(place)
    snapshots.prepare()
    assert snapshots.names() == [] and not snapshots.exists("a")
    for text in ("old", "new"):
        assert snapshots.publish("a", lambda folder, text=text: (folder / "x").write_text(text), {"is": text})
    snapshots.publish("b", lambda folder: (folder / "x").write_text("b"), {})
    with snapshots.open("a") as (folder, manifest):
        assert (folder / "x").read_text() == "new" and manifest.meta == {"is": "new"}
    assert snapshots.check("a") == snapshots.manifest("a") == manifest and snapshots.exists("a")
    snapshots.delete("a")
    assert snapshots.names() == ["b"]
    for call in (snapshots.delete, snapshots.check, snapshots.manifest):
        with pytest.raises(SnapshotError, match="a"):
            call("a")


def test_checkpoints(place):
    checkpoints = Checkpoints(place, keep_last=2)
    for step in (1, 2, 3):
        checkpoints.save(step, {"w": np.full(7, step, np.float32)}, {"step": step})
    again = Checkpoints(place, read_only=True)
    restored, meta = again.restore({"w": np.zeros(7, np.float32)})
    assert (again.steps(), meta, restored["w"].tolist()) == ([2, 3], {"step": 3}, [3.0] * 7)


# ---------------------------------------------------------------------------------------------------------- a new row


class Cellar(MemoryFileSystem):
    """A file system that nobody has heard of."""

    protocol = "cellar"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]

    def __init__(self, *, door="open", combination="", **options):
        super().__init__(**options)
        self.door, self.combination = door, combination

    def cat_file(self, path, **options):
        if self.door == "shut":
            raise ValueError(f"the credentials {self.combination} expired")
        return super().cat_file(path, **options)


@pytest.fixture
def cellar(monkeypatch):
    fsspec.register_implementation("cellar", Cellar, clobber=True)
    row = Backend(
        "cellar", "analogjax.store.bucket:Bucket", aliases=("vault",), package="no-such-package", extra="cellar",
        options={"combination": "12-34-56"}, secret="combination|door", sign_in="the key under the mat",
    )  # fmt: skip
    monkeypatch.setattr(backends, "BACKENDS", (*backends.BACKENDS, row))


def test_one_row_is_a_new_kind_of_place(cellar, tmp_path):
    place = Location.of("Vault://shelf/a")
    assert place.url == "cellar://shelf/a" and place.protocol == "cellar"
    place.write("wine", b"red")
    (tmp_path / "up").write_bytes(content(100_000))
    place.upload(tmp_path / "up", "deep/file")
    assert place.read("wine") == b"red" and names(place.list()) == ["deep/file", "wine"] and place.folders() == ["deep"]
    Checkpoints(place / "run").save(1, {"w": np.ones(3)}, {})
    assert Checkpoints("cellar://shelf/a/run").steps() == [1]


def test_the_row_speaks_in_the_errors(cellar, monkeypatch):
    with pytest.raises(StoreError, match="names no bucket: give cellar://bucket/folder"):
        Location.of("cellar://")
    with pytest.raises(StoreError, match="must not hold names, passwords or ports"):
        Location.of("cellar://me:secret@shelf/a")
    with pytest.raises(StoreError, match=r"attic:// is not known; give a path, .*, memory://… or cellar://…\."):
        Location.of("attic://shelf")
    shut = Location.of("cellar://shelf/a", storage_options={"door": "shut"})
    shut.write("wine", b"red")
    with pytest.raises(StoreError, match=r"credentials \*\*\* expired.*with the key under the mat") as caught:
        shut.read("wine")
    assert "12-34-56" not in str(caught.value)

    def absent(*_, **__):
        raise ImportError("No module named 'cellar'")

    monkeypatch.setattr(fsspec, "filesystem", absent)
    with pytest.raises(MissingPackage, match=r"cellar:// needs the package no-such-package: pip .*analogjax\[cellar\]"):
        Location.of("cellar://shelf/b").read("wine")
