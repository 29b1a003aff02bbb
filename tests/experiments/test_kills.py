"""`kill -9` at random moments: run again, and the end is the same to the bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("small_run.py")


def _start(folder: Path | str, output: Path, cache: Path) -> subprocess.Popen:
    environment = os.environ | {"TEST_JAX_CACHE": str(cache)}
    # into a file: nobody reads a pipe before the kill, and a full one would hold the run up
    with output.with_suffix(".log").open("w") as told:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder), str(output), "6"],
            env=environment, stdout=told, stderr=subprocess.STDOUT,
        )  # fmt: skip


def _wait_for_step(process: subprocess.Popen, folder: Path, step: int) -> None:
    """Until a checkpoint at or after `step` is there, or the run has ended."""
    while process.poll() is None and not any(int(one.name[5:]) >= step for one in folder.glob("step_*")):
        time.sleep(0.002)


def _run(folder: Path | str, output: Path, cache: Path) -> None:
    assert _start(folder, output, cache).wait(timeout=300) == 0, output.with_suffix(".log").read_text()[-4000:]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.storm)])
def test_as_many_equal_ends_as_kills(tmp_path: Path, kills: int) -> None:
    dice, cache = random.Random(7), tmp_path / "cache"
    _run("-", tmp_path / "whole.json", cache)
    _run(tmp_path / "ended", tmp_path / "ended.json", cache)  # compiles what a run with checkpoints needs besides
    last = max(int(one.name[5:]) for one in (tmp_path / "ended").glob("step_*"))
    expected = json.loads((tmp_path / "whole.json").read_text())
    mid_run = 0
    for trial in range(kills):
        folder, output = tmp_path / f"run{trial}", tmp_path / f"out{trial}.json"
        process = _start(folder, output, cache)
        if trial % 4:  # by what the run has done, as its pace changes with whatever else the machine does
            _wait_for_step(process, folder, dice.randrange(1, last))
        time.sleep(dice.uniform(0.0, 0.1 if trial % 4 else 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        mid_run += folder.exists() and any(folder.glob("step_*")) and not output.exists()
        _run(folder, output, cache)
        assert json.loads(output.read_text()) == expected, f"trial {trial} differs"
    assert mid_run >= kills // 4  # enough of the kills fell between the first checkpoint and the end
