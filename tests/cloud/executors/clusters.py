"""Real Slurm and Ray clusters on loopback, in folders and on ports of their own, ended by process number."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds: float = 60.0, what: str = "it") -> None:
    """Return when `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen in {seconds} s")
        time.sleep(0.05)


def end(process: subprocess.Popen | None, number: int = signal.SIGKILL) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(number)
        process.wait(30)


@dataclass
class Slurm:
    """One controller and one node."""

    folder: Path
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | self.environment)

    def start_controller(self) -> None:
        self.start("slurmctld", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        until(self.answers, what="slurmctld")

    def start_node(self) -> None:
        self.start("slurmd", "slurmd", "-D", "-N", "ajx", "-f", str(self.folder / "slurm.conf"))

    def resume(self) -> None:
        """What an operator does: a controller that has forgotten that it started a job takes its node out of use."""
        # "drain", or "drng" while the controller believes that jobs run there, of which the node may know nothing
        if self.run("sinfo", "--noheader", "--format=%t").stdout.startswith(("drain", "drng")):
            self.run("scontrol", "update", "nodename=ajx", "state=resume")

    def kill_controller(self) -> None:
        end(self.processes["slurmctld"])

    def kill_node(self) -> None:
        end(self.processes["slurmd"])

    def answers(self) -> bool:
        return self.run("sinfo", "--noheader").returncode == 0

    def run(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | self.environment, timeout=60)


_SLURM_CONF = """\
ClusterName=ajx
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=0
JobCompType=jobcomp/none
ReturnToService=2
MinJobAge=3600
KillWait=3
MpiDefault=none
NodeName=ajx NodeHostname=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ajx Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Slurm]:
    """A running Slurm; skips where it is not installed. Its commands need `environment`."""
    for program in ("slurmctld", "slurmd", "sbatch", "munged"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"Slurm is not installed ({program}; Debian: slurmctld slurmd slurm-client munge)")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    os.chmod(folder, 0o755)
    (folder / "munge.key").write_bytes(os.urandom(128))
    os.chmod(folder / "munge.key", 0o600)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    text = _SLURM_CONF.format(folder=folder, controller=free_port(), node=free_port(), user=user, cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(text)
    cluster = Slurm(folder)
    try:
        cluster.start(
            "munged", "munged", "--foreground", "--force", f"--socket={folder}/munge.socket",
            f"--key-file={folder}/munge.key", f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
        )  # fmt: skip
        until((folder / "munge.socket").exists, what="munged")
        cluster.start_controller()
        cluster.start_node()
        until(lambda: "idle" in cluster.run("sinfo", "--noheader", "--format=%t").stdout, what="an idle node")
        yield cluster
    finally:
        cluster.run("scancel", "--user", user)
        for name in ("slurmd", "slurmctld", "munged"):
            end(cluster.processes.get(name))


@dataclass
class Ray:
    """A head and worker nodes, each its own process group."""

    folder: Path
    dashboard: int
    gcs: int
    nodes: list[subprocess.Popen] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.dashboard}"

    def start_head(self, cpus: int) -> None:
        self._start(
            "--head", f"--port={self.gcs}", f"--dashboard-port={self.dashboard}", "--dashboard-host=127.0.0.1",
            "--include-dashboard=true", f"--num-cpus={cpus}",
        )  # fmt: skip
        until(lambda: self.answers() and self.alive() == 1, 120, "Ray's head")

    def start_worker(self, cpus: int) -> None:
        self._start(f"--address=127.0.0.1:{self.gcs}", f"--num-cpus={cpus}")
        wanted = sum(node.poll() is None for node in self.nodes)
        until(lambda: self.alive() == wanted, 120, "a worker node")  # one that was killed counts for some seconds

    def kill_node(self, number: int) -> None:
        """`kill -9` everything of one node, the jobs on it too, which have sessions of their own."""
        import psutil

        with suppress(psutil.NoSuchProcess):
            node = psutil.Process(self.nodes[number].pid)
            for process in [node, *node.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.nodes[number].wait(30)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.address}/api/version", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def alive(self) -> int:
        """How many nodes the head counts as alive."""
        told = requests.get(f"{self.address}/nodes?view=summary", timeout=30).json()["data"]["summary"]
        return sum(node["raylet"].get("state") == "ALIVE" for node in told)

    def _start(self, *arguments: str) -> None:
        program = Path(sys.executable).parent / "ray"
        command = [program, "start", *arguments, "--block", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        command += [f"--dashboard-agent-listen-port={free_port()}"]  # two nodes on one machine want the same one
        command += [f"--temp-dir={self.folder}"] if "--head" in arguments else []
        quiet = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_health_check_period_ms": "1000"}
        with open(self.folder / f"node{len(self.nodes)}.log", "ab") as log:
            self.nodes.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | quiet, start_new_session=True)
            )


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One cluster of a kind at a time on this machine, whichever test process asks."""
    with open(Path(tempfile.gettempdir()) / f"ajx-tests-{name}.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def ray_cluster(folder: Path, nodes: int = 2, cpus: int = 1) -> Iterator[Ray]:
    """A running Ray cluster of `nodes` nodes (the first is the head); skips where Ray is not installed."""
    pytest.importorskip("ray", reason='Ray is not installed (pip install "ray[default]")')
    cluster = Ray(folder, free_port(), free_port())
    with _alone("ray"):
        try:
            cluster.start_head(cpus)
            for _ in range(nodes - 1):
                cluster.start_worker(cpus)
            yield cluster
        finally:
            for number in range(len(cluster.nodes)):
                cluster.kill_node(number)
