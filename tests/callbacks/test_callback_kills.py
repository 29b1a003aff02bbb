"""`kill -9` at random moments of trainings with Keras and Lightning: run again, they end with the same bits."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killed_training.py")
NEEDS = {"trained_with_keras": ("keras",), "trained_with_lightning": ("lightning", "pytorch_lightning")}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [pytest.param(2, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.storm)])
@pytest.mark.parametrize("kind", list(NEEDS))
def test_killed_trainings_end_with_the_same_bits(tmp_path: Path, kind: str, kills: int) -> None:
    if not any(importlib.util.find_spec(package) for package in NEEDS[kind]):
        pytest.skip(f"needs {' or '.join(NEEDS[kind])}")
    paths = [str(PROGRAM.parents[2]), str(PROGRAM.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, str(PROGRAM), kind, str(tmp_path), str(kills), "7"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert done.returncode == 0, (tmp_path / "log").read_text()[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] >= kills and told["ends"] and told["different"] == [], told
