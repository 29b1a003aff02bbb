"""Workers as Slurm batch jobs, through `sbatch`, `squeue` and `scancel`.

Jobs are identified by name only: a controller that crashes may lose a job that it has acknowledged, and give its number
to another one. Logs are written to `folder`, which the nodes must share with the service, like the store.
Reference: https://slurm.schedmd.com/sbatch.html
"""

from __future__ import annotations

import math
import os
import shlex
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors.executor import Phase, Ticket, cpus, gpus, setting
from analogjax.cloud.executors.output import read_part, tail

_TIMEOUT = 30.0  # [s] for one command: a controller that is away makes them wait
_AT_ONCE = 200  # names that one command is asked for
_QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}

_ENDINGS = {
    "OUT_OF_MEMORY": "Slurm ended it, for it used more memory than it had asked for",
    "TIMEOUT": "Slurm ended it at its time limit",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "Slurm gave its node to another job",
    "CANCELLED": "it was cancelled in Slurm",
}


@dataclass(frozen=True)
class SlurmSettings:
    """Where Slurm runs the workers, and what each job requests."""

    shares_disk: ClassVar[bool] = True
    slurm_partition: str | None = setting(None, "slurm: partition to submit to", metavar="NAME")
    gpus: int = gpus()
    cpus: int = cpus()

    def start(self, folder: Path) -> SlurmExecutor:
        """Start the engine, with logs in `folder`."""
        return SlurmExecutor(folder, partition=self.slurm_partition, gpus_per_job=self.gpus, cpus_per_job=self.cpus)


class SlurmExecutor:
    """Submits to the cluster of this machine's Slurm configuration, optionally to one `partition`."""

    kind = "slurm"
    capacity = None

    def __init__(
        self, folder: Path, partition: str | None = None, gpus_per_job: int = 0, cpus_per_job: int = 1
    ) -> None:
        self.folder, self.partition, self.gpus_per_job, self.cpus_per_job = (
            folder,
            partition,
            gpus_per_job,
            cpus_per_job,
        )
        folder.mkdir(parents=True, exist_ok=True)

    def submit(self, ticket: Ticket) -> None:
        """Submit the job, unless Slurm knows one of that name. Raises `ExecutorError`."""
        if self.phases([ticket.name])[ticket.name] is not Phase.UNKNOWN:
            return
        options = [
            f"--job-name={ticket.name}", f"--comment={ticket.name}", "--ntasks=1", "--no-requeue", "--parsable",
            f"--cpus-per-task={self.cpus_per_job}",
            f"--output={self.folder / (ticket.name + '.log')}", "--open-mode=append",
        ]  # fmt: skip
        options += [f"--partition={self.partition}"] if self.partition else []
        options += [f"--gres=gpu:{self.gpus_per_job}"] if ticket.device == "gpu" and self.gpus_per_job else []
        options += [f"--mem={math.ceil(ticket.memory / 2**20)}M"] if ticket.memory else []
        # the service keeps the time itself; this is for a service that is away
        options += [f"--time={math.ceil(ticket.seconds / 60) + 5}"] if ticket.seconds else []
        self._run(["sbatch", *options], script(ticket))

    def phases(self, names: Collection[str]) -> dict[str, Phase]:
        """Phases of these jobs; one that ended some time ago is unknown to Slurm."""
        found = dict.fromkeys(names, Phase.UNKNOWN)
        wanted = list(names)
        for start in range(0, len(wanted), _AT_ONCE):
            some = ",".join(wanted[start : start + _AT_ONCE])
            reported = self._run(["squeue", "--noheader", "--states=all", "--format=%j %T", f"--name={some}"])
            for line in reported.splitlines():
                name, _, state = line.strip().partition(" ")
                if name in found and found[name] is not Phase.RUNNING:
                    found[name] = _phase(state.strip())
        return found

    def cancel(self, name: str) -> None:
        """End the job; one that Slurm does not know has ended."""
        self._run(["scancel", f"--name={name}", "--quiet"])

    def logs(self, name: str, limit: int = 65536) -> str:
        """The end of the job's output."""
        return tail(self.folder / f"{name}.log", limit)

    def log_part(self, name: str, after: int, limit: int = 65536) -> tuple[str, int]:
        """The job's output after byte `after`, and where it ends."""
        return read_part(self.folder / f"{name}.log", after, limit)

    def ending(self, name: str) -> str:
        """The state in which the job ended, while Slurm remembers it."""
        reported = self._run(["squeue", "--noheader", "--states=all", "--format=%T %r", f"--name={name}"])
        state = reported.strip().split("\n")[-1].split(" ")[0]
        if state in ("", "COMPLETED") or _phase(state) is not Phase.ENDED:
            return ""
        return _ENDINGS.get(state, f"Slurm says {state}")

    def forget(self, name: str) -> None:
        """Remove the log of the job; Slurm forgets the rest of itself."""
        (self.folder / f"{name}.log").unlink(missing_ok=True)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _run(self, command: list[str], stdin: str | None = None) -> str:
        """Output of a command. Raises `ExecutorError` if it fails or does not end in time."""
        try:
            done = subprocess.run(
                command, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL, capture_output=True,
                text=True, timeout=_TIMEOUT, check=False, env=os.environ | {"SLURM_TIME_FORMAT": "standard"},
            )  # fmt: skip
        except FileNotFoundError:
            raise ExecutorError(f"{command[0]} is not installed here: install Slurm's client commands.") from None
        except subprocess.TimeoutExpired:
            raise ExecutorError(f"Slurm does not answer: {command[0]} took over {_TIMEOUT:g} s.") from None
        if done.returncode != 0:
            raise ExecutorError(f"{command[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout


def script(ticket: Ticket) -> str:
    """The batch script: the program takes the shell's place, so that signals reach it."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in ticket.environment.items()]
    return "\n".join(["#!/bin/sh", *exports, f"exec {shlex.join(ticket.command)}", ""])


def _phase(state: str) -> Phase:
    word = state.split()[0].rstrip("+") if state else ""
    return Phase.QUEUED if word in _QUEUED else Phase.RUNNING if word in _RUNNING else Phase.ENDED
