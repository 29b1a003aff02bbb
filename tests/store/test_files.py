"""Files that are replaced as a whole: whatever fails, the old content stays and nothing is left beside it."""

import errno
import os

import pytest

from analogjax.store import Location, StoreError
from analogjax.store.files import fsync, remedy, replacing


def test_a_replaced_file_has_the_new_content_and_no_draft(tmp_path):
    for text in ("old", "new"):
        with replacing(tmp_path / "file") as draft:
            draft.write_text(text)
            assert draft.parent == tmp_path and draft.name != "file"
    assert (tmp_path / "file").read_text() == "new" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("place", [False, True], ids=["a file", "a place"])
def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch, failing, place):
    (tmp_path / "file").write_text("old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(StoreError if place else OSError, match="No space"):
        if place:
            Location.of(tmp_path).write("file", b"new")
        else:
            with replacing(tmp_path / "file", os.replace) as draft:
                draft.write_text("new")
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_what_the_writer_raises_is_passed_on(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file") as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_a_name_that_must_be_free(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError), replacing(tmp_path / "file", os.link) as draft:
        draft.write_text("theirs")
    assert (tmp_path / "file").read_text() == "mine" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(("number", "raises"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_only_a_file_system_without_fsync_is_forgiven(tmp_path, monkeypatch, number, raises):
    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    if raises:
        with pytest.raises(OSError, match="Input/output"):
            fsync(tmp_path)
    else:
        fsync(tmp_path)


def test_every_refusal_of_a_disk_has_a_remedy():
    assert "free some space" in remedy(OSError(errno.ENOSPC, "full"))
    assert remedy(OSError(errno.EMLINK, "odd")) == remedy(OSError("no number")) == "Check the path and the disk."
