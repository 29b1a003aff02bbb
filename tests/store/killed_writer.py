"""Run by the tests as a program: writers in one folder that are killed with SIGKILL at a chosen step of their work.

`killed_writer.py JOB FOLDER` copies FOLDER/start to FOLDER/0001, FOLDER/0002, ... and lets one child process do JOB in
each, which kills itself just before its n-th file operation; it ends when a child gets through. Children are forked:
importing JAX anew for each of some hundred would take minutes, and no child inherits a JAX backend.
"""

import itertools
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import orbax.checkpoint  # noqa: F401  imported here once, else each child would

from analogjax.store import Checkpoints
from analogjax.store.disk_snapshots import DiskSnapshots

# "open" includes reads and folders; fsync has no audit event and is wrapped.
FILE_OPERATIONS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "fcntl.flock", "fsync"}


def tree(step):
    return {"w": np.full((50, 40), step, np.float32), "count": np.int32(step), "none": None}


def files(folder, text):
    (folder / "inner").mkdir()
    (folder / "inner" / "a.txt").write_text(text)
    (folder / "b.txt").write_text(text)


def replace_snapshot(root):
    DiskSnapshots(root).publish("a", lambda folder: files(folder, "new"), {"text": "new"})


def delete_snapshot(root):
    DiskSnapshots(root).delete("a")


def recover(root):
    DiskSnapshots(root).prepare()


def save_next(root):
    Checkpoints(root, keep_last=2).save(3, tree(3), {"step": 3})


def save_again(root):
    Checkpoints(root, keep_last=2).save(2, tree(2), {"step": 2})


def save_forever(root):
    checkpoints = Checkpoints(root, keep_last=2)
    for step in itertools.count(3):
        checkpoints.save(step, tree(step), {"step": step})


def die_before(nth):
    count = itertools.count(1)
    fsync = os.fsync

    def watch(event, _arguments):
        if event in FILE_OPERATIONS and next(count) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched_fsync(handle):
        watch("fsync", None)
        fsync(handle)

    os.fsync = watched_fsync
    sys.addaudithook(watch)


def child_does(job, root, nth):
    pid = os.fork()
    if pid == 0:
        die_before(nth)
        job(root)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(job, folder, stride):
    for nth in itertools.count(1, stride):
        root = folder / f"{nth:04d}"
        shutil.copytree(folder / "start", root)
        status = child_does(globals()[job], root, nth)
        if status == 0:
            return
        assert status == -signal.SIGKILL, status


if __name__ == "__main__":
    # JAX warns of fork, which may deadlock once it has threads: it has none here, no array was made.
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
    if sys.argv[1] == "save_forever":
        save_forever(Path(sys.argv[2]))
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
