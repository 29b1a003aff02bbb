"""A backup taken at work, the loss of everything, a restore: what had ended is there, the rest comes to its end."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import requests

from analogjax import LocalRunner
from tests.cloud.executors.clusters import until
from tests.cloud.experiments import submission, training
from tests.cloud.running_service import ROOT, ServiceProcess

_CACHE = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
_IDS = ("completed", "running0", "waiting0")
_EPOCHS = (4, 60, 4)


@pytest.mark.slow
def test_everything_is_there_again_after_the_loss_of_the_machine(tmp_path):
    service, file = ServiceProcess(tmp_path / "home", (), _CACHE), tmp_path / "service.tar"
    headers: dict = {}

    def get(id: str, path: str = "") -> dict:
        return requests.get(f"{service.url}/api/v1/experiments/{id}{path}", headers=headers, timeout=30).json()

    service.start()
    headers |= {"Authorization": f"Bearer {service.token()}"}
    for id, epochs in zip(_IDS, _EPOCHS, strict=True):
        body = submission(epochs, name=id)
        answer = requests.put(f"{service.url}/api/v1/experiments/{id}", json=body, headers=headers, timeout=30)
        assert answer.status_code == 201
    until(lambda: get("running0")["epochs_done"] >= 5, 180, "some epochs")
    assert (get("completed")["status"], get("waiting0")["status"]) == ("completed", "waiting")
    subprocess.run(service.command("cloud", "backup", str(file), "--home", str(service.home)), check=True, cwd=ROOT)
    service.kill()
    for record in Path(service.home / "jobs").glob("*.json"):
        for process in psutil.process_iter(["cmdline"]):
            if record.stem.split("-")[1] in (process.info["cmdline"] or []):
                os.kill(process.pid, signal.SIGKILL)
    time.sleep(1)
    shutil.rmtree(service.home)
    subprocess.run(service.command("cloud", "restore", str(file), "--home", str(service.home)), check=True, cwd=ROOT)
    service.start()
    try:
        until(lambda: all(get(id)["status"] == "completed" for id in _IDS), 240, "the end of all")
        for id, epochs in zip(_IDS, _EPOCHS, strict=True):
            here = LocalRunner().run(training(epochs), seed=1, progress=False, stdout=False)
            found = get(id)["epochs"]
            for entry in (*found, *here):
                entry.pop("time_epoch")
            assert found == list(here), id
            assert requests.get(
                f"{service.url}/api/v1/experiments/{id}/files/weights.npz", headers=headers, timeout=30
            ).content
        assert get("completed")["attempt"] == 1 and get("running0")["attempt"] == 2
    finally:
        service.stop()
