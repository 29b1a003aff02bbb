"""Worker processes on this machine, without further set-up; they outlive the service that started them.

A job is a process in a session of its own, recorded as `NAME.json` in the folder: its process id, its start time, and
the boot and machine it runs on. So a restarted service finds the jobs that still run, a name is never run twice, and
another process that got the same id later is not taken for the job.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors.endings import told
from analogjax.cloud.executors.executor import Phase, Ticket, setting
from analogjax.cloud.executors.output import read_part, tail

_LAUNCH = Path(__file__).parent / "launch.py"
_STARTING = 60.0  # [s] that a launch may take on a machine out of breath
_GRACE = 5.0  # [s] between asking a job to end and ending it


@dataclass(frozen=True)
class LocalSettings:
    """How this machine runs workers."""

    shares_disk: ClassVar[bool] = True
    workers: int = setting(1, "local: experiments at a time (default: 1)", bounds=(1, 1024))

    local_gpus: int = setting(
        -1, "local: GPUs of this machine, one for each worker while there are enough (default: all)", bounds=(-1, 1024)
    )
    max_file: int = setting(
        20, "local: size of a file that an experiment writes, in GiB; 0: no limit (default: 20)", bounds=(0, 10**6)
    )

    def start(self, folder: Path) -> LocalExecutor:
        """Start the engine, with notes and logs in `folder`. Raises `ExecutorError`."""
        gpus = _number_of_gpus() if self.local_gpus < 0 else self.local_gpus
        return LocalExecutor(folder, self.workers, gpus=gpus, max_file=self.max_file * 2**30)


class LocalExecutor:
    """Runs at most `workers` jobs at a time, as counted by the service, with notes and logs in `folder`."""

    kind = "local"

    def __init__(self, folder: Path, workers: int = 1, *, gpus: int = 0, max_file: int = 0) -> None:
        if workers < 1:
            raise ExecutorError(f"workers={workers}: at least one is needed.")
        self.folder, self.capacity, self.gpus, self.max_file = folder, workers, gpus, max_file
        folder.mkdir(parents=True, exist_ok=True)

    def submit(self, ticket: Ticket) -> None:
        """Start the job, unless one of that name was started before. Raises `ExecutorError` if it can't run."""
        if self._record(ticket.name) is not None:
            return
        gpu = self._gpu_of(ticket)
        # with a GPU, its driver maps memory of its own, which would count
        limits = [f"memory={ticket.memory}"] if ticket.memory and not gpu else []
        limits += [f"file={self.max_file}"] if self.max_file else []
        start = [sys.executable, "-I", "-S", str(_LAUNCH), str(self.folder), ticket.name]
        command = [*start, *limits, "--", *ticket.command]
        environment = os.environ | dict(ticket.environment) | gpu
        try:
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=_STARTING, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ExecutorError(f"No process could be started on this machine ({error}).") from None
        if done.returncode not in (0, 3):
            raise ExecutorError(f"The job {ticket.name} could not be started: {done.stderr.strip()[-500:]}")

    def phases(self, names: Collection[str]) -> dict[str, Phase]:
        """Phases of these jobs."""
        return {name: self._phase(name) for name in names}

    def cancel(self, name: str) -> None:
        """Ask the job and its children to end, and kill them a few seconds later if they have not."""
        (self.folder / f"{name}.cancelled").touch()  # for one that is just being started
        if not self._signal(name, signal.SIGTERM):
            return
        timer = threading.Timer(_GRACE, self._signal, (name, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def logs(self, name: str, limit: int = 65536) -> str:
        """The end of the job's output."""
        return tail(self.folder / f"{name}.log", limit)

    def log_part(self, name: str, after: int, limit: int = 65536) -> tuple[str, int]:
        """The job's output after byte `after`, and where it ends."""
        return read_part(self.folder / f"{name}.log", after, limit)

    def ending(self, name: str) -> str:
        """How the job ended."""
        try:
            return told(int((self.folder / f"{name}.end").read_text()))
        except (OSError, ValueError):
            return ""

    def forget(self, name: str) -> None:
        """Remove the notes and the log of a job, unless it still runs."""
        record = self._record(name)
        if record is not None and _alive(record):
            return
        for suffix in ("log", "cancelled", "end", "json"):
            (self.folder / f"{name}.{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        """Do nothing: running jobs continue."""

    def _gpu_of(self, ticket: Ticket) -> dict[str, str]:
        """Variables that give a job the GPU that the fewest others have, and its share of that one's memory."""
        if ticket.device != "gpu" or not self.gpus:
            return {}
        records = [self._record(path.stem) for path in self.folder.glob("*.json")]
        taken = Counter(one.get("gpu") for one in records if one is not None and _alive(one))
        sharing = math.ceil(self.capacity / self.gpus)
        share = {} if sharing == 1 else {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / sharing:.2f}"}
        return {"CUDA_VISIBLE_DEVICES": min(map(str, range(self.gpus)), key=lambda gpu: taken[gpu])} | share

    def _phase(self, name: str) -> Phase:
        record = self._record(name)
        if record is None:
            return Phase.UNKNOWN
        return Phase.RUNNING if _alive(record) else Phase.ENDED

    def _record(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ExecutorError(f"{self.folder}/{name}.json can't be read ({error}): check the disk.") from None

    def _signal(self, name: str, number: int) -> bool:
        """Send a signal to the job's process group; returns whether there was one."""
        record = self._record(name)
        if record is None or not _alive(record):
            return False
        with suppress(ProcessLookupError):  # it has just ended
            os.killpg(record["pid"], number)
        return True


def _number_of_gpus() -> int:
    """NVIDIA's GPUs of this machine."""
    return sum(path.name[6:].isdecimal() for path in Path("/dev").glob("nvidia*"))


def _alive(record: dict[str, Any]) -> bool | None:
    from analogjax.store.process import alive  # here: the command lists engines before JAX is loaded

    return alive(record)
