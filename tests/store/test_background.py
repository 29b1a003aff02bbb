"""Work in the background: its failure can't be missed, and the end of the program waits for it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.store import CheckpointError, Checkpoints
from analogjax.store.background import Background

ROOT = Path(__file__).parents[2]


def fail():
    raise OSError("no room")


@pytest.mark.parametrize("then", ["submit", "check", "wait"])
def test_a_failure_is_raised_by_the_next_call_and_once(then):
    background = Background()
    background.submit(fail)
    background._thread.join()
    with pytest.raises(OSError, match="no room"):
        background.submit(list) if then == "submit" else getattr(background, then)()
    background.check()
    background.wait()


def test_one_thing_at_a_time_and_check_never_waits():
    background, gate, order = Background(), threading.Event(), []
    background.submit(lambda: (gate.wait(10), order.append(1)))
    background.check()
    assert background.busy() and order == []
    threading.Timer(0.1, gate.set).start()
    background.submit(lambda: order.append(2))  # waits for the first
    background.wait()
    assert order == [1, 2] and not background.busy()


def tree(value):
    return {"w": jnp.full((5,), value), "n": np.full(3, value), "key": jax.random.key(value), "none": None}


def test_what_is_saved_is_what_was_handed_over(tmp_path):
    with Checkpoints(tmp_path, background=True) as checkpoints:
        given = tree(1)
        checkpoints.save(1, given, {"a": 1})
        given["n"][:] = 7  # the caller goes on writing into its arrays
        given["w"].delete()  # and gives its buffers away
    restored, meta = Checkpoints(tmp_path).restore(tree(0))
    assert meta == {"a": 1} and restored["w"].tolist() == [1.0] * 5 and restored["n"].tolist() == [1] * 3
    assert jax.random.key_data(restored["key"]).tolist() == jax.random.key_data(jax.random.key(1)).tolist()


def test_a_failed_save_is_an_error_at_the_next_step_and_the_older_ones_stay(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, background=True)
    checkpoints.save(1, tree(1), {})
    checkpoints.close()
    with monkeypatch.context() as patched:
        patched.setattr("analogjax.store.arrays.write", lambda *_: fail())
        checkpoints.save(2, tree(2), {})
        checkpoints._background.join()
    with pytest.raises(CheckpointError, match="no room"):
        checkpoints.check()
    with monkeypatch.context() as patched, pytest.raises(CheckpointError, match="no room"):
        patched.setattr("analogjax.store.arrays.write", lambda *_: fail())
        with checkpoints:
            checkpoints.save(3, tree(3), {})
    assert Checkpoints(tmp_path).steps() == [1]


LEAVES = """
import sys, numpy as np
from analogjax.store import Checkpoints
Checkpoints(sys.argv[1], background=True).save(5, {"w": np.ones(200_000)}, {})
# no close: the program just ends
"""


def test_a_program_that_ends_without_closing_loses_nothing(tmp_path):
    """Orbax's own asynchronous save loses the checkpoint here."""
    subprocess.run([sys.executable, "-c", LEAVES, tmp_path], cwd=ROOT, check=True, env={**os.environ}, timeout=120)
    restored, _ = Checkpoints(tmp_path).restore({"w": np.zeros(200_000)})
    assert restored["w"].all()
