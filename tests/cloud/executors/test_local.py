"""Jobs on this machine: the contract, and what happens when the service or the machine goes away."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors import Phase, Ticket, executor_for, launch
from analogjax.cloud.executors.local import LocalExecutor
from tests.cloud.executors.clusters import until
from tests.cloud.executors.contract import Contract, phase, shell
from tests.cloud.running_service import end_all


@pytest.fixture
def executor(tmp_path):
    made = LocalExecutor(tmp_path / "jobs", workers=2)
    yield made
    end_all(made)


class TestContract(Contract):
    """The suite of all engines."""


def pid(executor, name):
    return json.loads((executor.folder / f"{name}.json").read_text())["pid"]


def test_one_name_from_many_processes_is_one_job(executor, tmp_path):
    job = ["ajx-race-1", "--", "/bin/sh", "-c", f"echo run >> {tmp_path}/runs; sleep 60"]
    command = [sys.executable, "-I", "-S", str(launch.__file__), str(executor.folder), *job]
    starters = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(12)]
    codes = sorted(starter.wait(60) for starter in starters)
    assert codes == [0] + [launch.TAKEN] * 11
    assert phase(executor, "ajx-race-1") is Phase.RUNNING
    until((tmp_path / "runs").exists, 10)
    assert (tmp_path / "runs").read_text() == "run\n"


def test_jobs_outlive_a_service_that_is_killed_and_are_found_again(executor):
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from analogjax.cloud.executors import Ticket
        from analogjax.cloud.executors.local import LocalExecutor
        LocalExecutor(Path({str(executor.folder)!r})).submit(Ticket("ajx-live-1", ("sleep", "60")))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert phase(executor, "ajx-live-1") is Phase.RUNNING
    executor.submit(Ticket("ajx-live-1", ("false",)))
    assert phase(executor, "ajx-live-1") is Phase.RUNNING
    executor.cancel("ajx-live-1")
    until(lambda: phase(executor, "ajx-live-1") is Phase.ENDED, 10)


def test_a_job_that_ignores_the_request_is_ended(executor):
    executor.submit(shell("ajx-deaf-1", "trap '' TERM; echo ready; while true; do sleep 1; done"))
    until(lambda: "ready" in executor.logs("ajx-deaf-1"), 10)
    begun = time.monotonic()
    executor.cancel("ajx-deaf-1")
    assert time.monotonic() - begun < 4  # it does not wait out the grace
    until(lambda: phase(executor, "ajx-deaf-1") is Phase.ENDED, 15)


def test_a_killed_job_has_ended_and_leaves_no_zombie_of_ours(executor):
    executor.submit(Ticket("ajx-kill-1", ("sleep", "60")))
    number = pid(executor, "ajx-kill-1")
    os.kill(number, signal.SIGKILL)
    until(lambda: phase(executor, "ajx-kill-1") is Phase.ENDED, 5)
    with pytest.raises(ChildProcessError):
        os.waitpid(number, os.WNOHANG)


def test_another_process_with_the_same_number_is_not_the_job(executor):
    executor.submit(Ticket("ajx-reuse-1", ("sleep", "60")))
    path = executor.folder / "ajx-reuse-1.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"started": record["started"] - 1}))
    assert phase(executor, "ajx-reuse-1") is Phase.ENDED
    executor.cancel("ajx-reuse-1")
    time.sleep(0.3)
    os.kill(record["pid"], 0)  # it lives: it was not taken for the job
    path.write_text(json.dumps(record))


def test_a_job_of_an_earlier_boot_has_ended(executor):
    executor.submit(Ticket("ajx-boot-1", ("sleep", "60")))
    path = executor.folder / "ajx-boot-1.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"machine": "another boot"}))
    assert phase(executor, "ajx-boot-1") is Phase.ENDED
    path.write_text(json.dumps(record))


def test_a_job_that_is_cancelled_while_it_starts_does_not_run(executor, tmp_path):
    executor.cancel("ajx-early-1")
    executor.submit(shell("ajx-early-1", f"touch {tmp_path}/ran"))
    until(lambda: phase(executor, "ajx-early-1") is Phase.ENDED, 5)
    assert not (tmp_path / "ran").exists()


def test_a_program_that_is_not_there(executor):
    with pytest.raises(ExecutorError, match=r"/nowhere/python: No such file"):
        executor.submit(Ticket("ajx-gone-1", ("/nowhere/python",)))
    until(lambda: phase(executor, "ajx-gone-1") is Phase.ENDED, 5)  # its process may still be ending


def test_engines_that_are_not_known(tmp_path):
    with pytest.raises(ExecutorError, match="local, ray, slurm"):
        executor_for("cloud9", folder=tmp_path)
    with pytest.raises(ExecutorError, match="at least one"):
        executor_for("local", folder=tmp_path, workers=0)
    with pytest.raises(ExecutorError, match="no URL"):
        executor_for("ray", folder=tmp_path, ray_address="nowhere")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("kill -9 $$", ("signal 9", "SIGKILL", "memory")), ("kill -11 $$", ("SIGSEGV", "compiled code")),
        ("exit 7", ("exit code 7",)), ("kill -40 $$", ("signal 40",)),
    ],
)  # fmt: skip
def test_how_a_job_ended_is_told(executor, command, words):
    executor.submit(shell("ajx-end-1", command))
    until(lambda: executor.ending("ajx-end-1") != "", 20, "its end")
    assert all(word in executor.ending("ajx-end-1") for word in words)


def test_a_job_that_went_well_has_no_ending_to_tell(executor):
    executor.submit(shell("ajx-well-1", "true"))
    until((executor.folder / "ajx-well-1.end").exists, 20)
    assert executor.ending("ajx-well-1") == "" and phase(executor, "ajx-well-1") is Phase.ENDED
    executor.forget("ajx-well-1")
    assert list(executor.folder.iterdir()) == [] and phase(executor, "ajx-well-1") is Phase.UNKNOWN


def test_a_running_job_is_not_forgotten(executor):
    executor.submit(shell("ajx-run-1", "sleep 60"))
    executor.forget("ajx-run-1")
    assert phase(executor, "ajx-run-1") is Phase.RUNNING


def test_a_job_gets_no_more_memory_and_no_larger_file_than_it_may(tmp_path):
    executor = LocalExecutor(tmp_path / "jobs", max_file=100_000)
    program = f"b = bytearray({400 * 2**20}); print(len(b))"
    for name, memory in (("ajx-small-1", 200 * 2**20), ("ajx-large-1", 900 * 2**20), ("ajx-free-1", None)):
        executor.submit(Ticket(name, (sys.executable, "-S", "-c", program), memory=memory))
    until(lambda: all((executor.folder / f"ajx-{n}-1.end").exists() for n in ("small", "large", "free")), 30)
    assert "MemoryError" in executor.logs("ajx-small-1") and "exit code 1" in executor.ending("ajx-small-1")
    assert executor.logs("ajx-large-1") == executor.logs("ajx-free-1") == f"{400 * 2**20}\n"
    executor.submit(shell("ajx-file-1", f"dd if=/dev/zero of={tmp_path}/big bs=1000 count=200"))
    until((executor.folder / "ajx-file-1.end").exists, 20)
    assert "SIGXFSZ" in executor.ending("ajx-file-1") and (tmp_path / "big").stat().st_size == 100_000


def test_each_job_gets_a_gpu_of_its_own_while_there_are_enough(tmp_path):
    executor = LocalExecutor(tmp_path / "jobs", workers=3, gpus=2)
    show = "echo $CUDA_VISIBLE_DEVICES $XLA_PYTHON_CLIENT_MEM_FRACTION; exec sleep 60"
    names = [f"ajx-gpu-{n}" for n in range(3)]
    for name in names:  # with a GPU, the limit of memory is not that of the process: this one would not even start
        executor.submit(Ticket(name, ("/bin/sh", "-c", show), device="gpu", memory=1000))
        until(lambda name=name: executor.logs(name) != "", 20)
    executor.submit(Ticket("ajx-cpu-1", ("/bin/sh", "-c", "echo [$CUDA_VISIBLE_DEVICES]"), device="cpu"))
    until(lambda: executor.logs("ajx-cpu-1") != "", 20)
    assert [executor.logs(name).split() for name in names] == [["0", "0.45"], ["1", "0.45"], ["0", "0.45"]]
    assert executor.logs("ajx-cpu-1") == "[]\n"
    end_all(executor)
