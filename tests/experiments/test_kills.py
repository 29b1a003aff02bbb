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
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), str(output), "6"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _seconds(folder: Path | str, output: Path, cache: Path) -> float:
    begun = time.monotonic()
    process = _start(folder, output, cache)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_kills_twenty_equal_ends(tmp_path: Path) -> None:
    dice, cache = random.Random(7), tmp_path / "cache"
    _seconds("-", tmp_path / "whole.json", cache)
    full = _seconds(tmp_path / "timed", tmp_path / "timed.json", cache)
    expected = json.loads((tmp_path / "whole.json").read_text())
    mid_run = 0
    for trial in range(20):
        folder, output = tmp_path / f"run{trial}", tmp_path / f"out{trial}.json"
        process = _start(folder, output, cache)
        time.sleep(dice.uniform(0.3, 1.0) * full)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        mid_run += folder.exists() and any(folder.glob("step_*")) and not output.exists()
        _seconds(folder, output, cache)
        assert json.loads(output.read_text()) == expected, f"trial {trial} differs"
    assert mid_run >= 5  # enough of the kills fell between the first checkpoint and the end
