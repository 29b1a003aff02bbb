"""Jobs on a real Slurm: the contract, and a controller that crashes."""

import shutil
import tempfile
from pathlib import Path

import pytest

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors import Phase, Ticket
from analogjax.cloud.executors.slurm import SlurmExecutor
from tests.cloud.executors.clusters import slurm_cluster, until
from tests.cloud.executors.contract import Contract, phase


@pytest.fixture(scope="module")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="ajx-slurm-"))  # sockets need short paths
    with slurm_cluster(folder / "c") as made:
        yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def executor(cluster, tmp_path, monkeypatch):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    return SlurmExecutor(tmp_path / "jobs")


@pytest.mark.slow
class TestContract(Contract):
    """The suite of all engines."""


@pytest.mark.slow
def test_a_controller_that_crashes(cluster, executor):
    executor.submit(Ticket("ajx-crash-1", ("sleep", "30")))
    until(lambda: phase(executor, "ajx-crash-1") is Phase.RUNNING, 20)
    cluster.kill_controller()
    with pytest.raises(ExecutorError, match="squeue"):
        executor.phases(["ajx-crash-1"])
    with pytest.raises(ExecutorError):
        executor.submit(Ticket("ajx-crash-2", ("true",)))
    cluster.start_controller()
    # a job that it has lost may be submitted again; one that it knows still runs
    executor.submit(Ticket("ajx-crash-1", ("sleep", "30")))
    until(lambda: phase(executor, "ajx-crash-1") is Phase.RUNNING, 40)
    executor.cancel("ajx-crash-1")


@pytest.mark.slow
def test_what_a_job_asks_for_is_what_slurm_reserves(cluster, executor):
    executor.cpus_per_job = 2
    executor.submit(Ticket("ajx-ask-1", ("sleep", "60"), memory=300 * 2**20 + 1, seconds=600.0))
    until(lambda: phase(executor, "ajx-ask-1") is not Phase.UNKNOWN, 20)
    asked = executor._run(["squeue", "--noheader", "--format=%m %C %l", "--name=ajx-ask-1"]).split()
    assert asked == ["301M", "2", "15:00"]
    with pytest.raises(ExecutorError, match=r"[Mm]emory"):
        executor.submit(Ticket("ajx-ask-2", ("true",), memory=2**45))
    executor.cancel("ajx-ask-1")
    executor.submit(Ticket("ajx-killed-1", ("/bin/sh", "-c", "kill -9 $$")))
    until(lambda: executor.ending("ajx-killed-1") != "", 30, "how it ended")
    assert "FAILED" in executor.ending("ajx-killed-1")


def test_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutorError, match="not installed"):
        SlurmExecutor(tmp_path / "jobs").phases(["ajx-x-1"])
