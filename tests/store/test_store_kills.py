"""kill -9 at any moment: what was whole stays whole, nothing half is seen, and the next writer just works."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from analogjax.store import Checkpoints
from analogjax.store.disk_snapshots import DiskSnapshots

SCRIPT = Path(__file__).with_name("killed_writer.py")
ROOT = Path(__file__).parents[2]


def start(*arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, SCRIPT, *map(str, arguments)], env=environment, cwd=ROOT)


def kill_everywhere(job, folder, *, stride=1, moments=20):
    """Returns one folder for each of at least `moments` moments at which `job` was killed in it, and one without."""
    assert start(job, folder, stride).wait() == 0
    roots = sorted(path for path in folder.iterdir() if path.name != "start")
    assert len(roots) > moments
    return roots


def put(root, text):
    def write(folder):
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(text)
        (folder / "b.txt").write_text(text)

    DiskSnapshots(root).publish("a", write, {"text": text})


def content(root):
    """The text of the snapshot in `root`, wherever it lies now; it is whole: all its parts agree."""
    with DiskSnapshots(root).open("a") as (folder, manifest):
        text = manifest.meta["text"]
        assert (folder / "inner" / "a.txt").read_text() == (folder / "b.txt").read_text() == text
    return text


def hidden(root):
    return sorted(path.name for path in root.iterdir() if path.name.startswith(".") and path.name != ".lock")


def tree(step):
    return {"w": np.full((50, 40), step, np.float32), "count": np.int32(step), "none": None}


def test_a_replacement_killed_at_every_step_leaves_the_old_or_the_new(tmp_path):
    DiskSnapshots(tmp_path / "start").prepare()
    put(tmp_path / "start", "old")
    texts = []
    for root in kill_everywhere("replace_snapshot", tmp_path):
        texts.append(content(root))
        DiskSnapshots(root).prepare()
        assert content(root) == texts[-1]
        assert not hidden(root)
        put(root, "newer")
        assert content(root) == "newer"
    assert texts == sorted(texts, reverse=True)  # old until one moment, new from then on
    assert set(texts) == {"old", "new"}


@pytest.mark.slow
def test_a_deletion_killed_at_every_step_leaves_the_whole_or_nothing(tmp_path):
    DiskSnapshots(tmp_path / "start").prepare()
    put(tmp_path / "start", "old")
    left = []
    for root in kill_everywhere("delete_snapshot", tmp_path, moments=10):
        found = DiskSnapshots(root).names()
        left.append(len(found))
        assert all(content(root) == "old" for _ in found)
        DiskSnapshots(root).prepare()
        assert DiskSnapshots(root).names() == found
        assert not hidden(root)
    assert left == sorted(left, reverse=True)
    assert set(left) == {0, 1}


@pytest.mark.parametrize("new_is_there", [False, True])
def test_a_recovery_killed_at_every_step_loses_nothing(tmp_path, new_is_there):
    root = tmp_path / "start"
    DiskSnapshots(root).prepare()
    put(root, "old")
    os.rename(root / "a", root / ".replaced-a")
    if new_is_there:
        os.rename(root / ".replaced-a", root / ".staging-1")  # out of the way of put()
        put(root, "new")
        os.rename(root / ".staging-1", root / ".replaced-a")
    for name in (".staging-2", ".trash-3"):
        (root / name / "content").mkdir(parents=True)
        (root / name / "content" / "half").write_text("x")
    (root / ".staging-2" / "OWNER").write_text("pid 1")
    for killed in kill_everywhere("recover", tmp_path):
        assert content(killed) == ("new" if new_is_there else "old")
        DiskSnapshots(killed).prepare()
        assert content(killed) == ("new" if new_is_there else "old")
        assert not hidden(killed)


def check_checkpoints(root, allowed):
    """The folder is usable, its newest checkpoint is one of `allowed`, whole and right, and saving again works."""
    before = Checkpoints(root, read_only=True).latest()
    checkpoints = Checkpoints(root)
    latest = checkpoints.latest()
    assert latest == before
    assert latest in allowed
    with DiskSnapshots(root).open(f"step_{latest:012d}"):
        pass
    restored, meta = checkpoints.restore(tree(0))
    np.testing.assert_array_equal(restored["w"], tree(latest)["w"])
    assert meta == {"step": latest}
    assert not hidden(root)
    checkpoints.save(latest + 1, tree(latest + 1), {"step": latest + 1})
    assert checkpoints.steps()[-1] == latest + 1
    return latest


@pytest.mark.slow
@pytest.mark.parametrize(("job", "allowed"), [("save_next", {2, 3}), ("save_again", {2})])
def test_a_save_killed_at_more_than_20_steps(tmp_path, job, allowed):
    checkpoints = Checkpoints(tmp_path / "start")
    for step in (1, 2):
        checkpoints.save(step, tree(step), {"step": step})
    latest = {check_checkpoints(root, allowed) for root in kill_everywhere(job, tmp_path, stride=9)}
    assert latest == allowed


@pytest.mark.parametrize("delay", [random.Random(7 + n).uniform(0, 0.3) for n in range(3)])
def test_saves_killed_at_random_times(tmp_path, delay):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, tree(2), {"step": 2})
    writer = start("save_forever", tmp_path)
    deadline = time.monotonic() + 60
    while Checkpoints(tmp_path, read_only=True).latest() == 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay)
    writer.kill()
    writer.wait()
    check_checkpoints(tmp_path, range(3, 10_000))
