"""Workers as Ray jobs, through the REST interface of the cluster's dashboard, so that Ray need not be installed here.

The submission id of a job is its name. A head node that restarts forgets all jobs; they are then unknown, and the
service decides by what they left in the store. Reference:
https://docs.ray.io/en/latest/cluster/running-applications/job-submission/
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors.endings import told
from analogjax.cloud.executors.executor import Phase, Ticket, cpus, gpus, setting
from analogjax.errors import MissingPackage

_TIMEOUT = (5.0, 60.0)  # [s] to connect, to answer: the first job of a cluster starts its agents
_PHASES = {"PENDING": Phase.QUEUED, "RUNNING": Phase.RUNNING}  # SUCCEEDED, FAILED, STOPPED: ended


@dataclass(frozen=True)
class RaySettings:
    """Which cluster runs the workers, and what each job requests."""

    shares_disk: ClassVar[bool] = False  # a node may be anywhere
    ray_address: str = setting("http://127.0.0.1:8265", "ray: address of its dashboard", metavar="URL")
    gpus: int = gpus()
    cpus: int = cpus()

    def start(self, folder: Path) -> RayExecutor:
        """Start the engine, which stores nothing in `folder`. Raises `ExecutorError`, `MissingPackage`."""
        return RayExecutor(self.ray_address, gpus_per_job=self.gpus, cpus_per_job=self.cpus)


class RayExecutor:
    """Submits jobs to the cluster whose dashboard is at `address`, for instance `http://127.0.0.1:8265`.

    Each job takes `cpus_per_job` CPUs on any node, and `gpus_per_job` GPUs if it requests them. A cluster that
    requires a token gets the one in `RAY_AUTH_TOKEN`.
    """

    kind = "ray"
    capacity = None

    def __init__(self, address: str, gpus_per_job: int = 0, cpus_per_job: int = 1) -> None:
        try:
            import requests
        except ImportError:
            raise MissingPackage('Ray jobs need requests: pip install "analogjax[cloud]".') from None
        if not address.startswith(("http://", "https://")):
            raise ExecutorError(f"The address {address!r} is no URL: give the dashboard's, http://HOST:8265.")
        self.address, self._errors = address.rstrip("/"), requests.RequestException
        self.gpus_per_job, self.cpus_per_job = gpus_per_job, cpus_per_job
        self._session = requests.Session()
        self._session.trust_env = False
        if token := os.environ.get("RAY_AUTH_TOKEN"):
            self._session.headers["Authorization"] = f"Bearer {token}"

    def submit(self, ticket: Ticket) -> None:
        """Submit the job, unless the cluster knows one of that name. Raises `ExecutorError`."""
        if self._job(ticket.name) is not None:
            return
        # not as Ray's env_vars, in whose values it would replace what looks like a variable
        settings = [f"{name}={value}" for name, value in ticket.environment.items()]
        command = ["env", *settings, *ticket.command] if settings else ticket.command
        asked: dict[str, Any] = {
            "entrypoint": shlex.join(command), "submission_id": ticket.name, "entrypoint_num_cpus": self.cpus_per_job,
            "metadata": {"name": ticket.name},
        }  # fmt: skip
        if ticket.device == "gpu" and self.gpus_per_job:
            asked["entrypoint_num_gpus"] = self.gpus_per_job
        if ticket.memory:
            asked["entrypoint_memory"] = ticket.memory
        answer = self._ask("POST", "", asked)
        # a duplicate is answered as an internal error: whether it is one shows when it is looked up
        if answer.status_code != 200 and self._job(ticket.name) is None:
            raise ExecutorError(f"Ray refused the job {ticket.name}: {_last_line(answer.text)}")

    def phases(self, names: Collection[str]) -> dict[str, Phase]:
        """Phases of these jobs."""
        jobs = {name: self._job(name) for name in names}
        return {
            name: Phase.UNKNOWN if job is None else _PHASES.get(job.get("status", ""), Phase.ENDED)
            for name, job in jobs.items()
        }

    def cancel(self, name: str) -> None:
        """Stop the job: Ray asks it to end, then kills it."""
        answer = self._ask("POST", f"{name}/stop")
        if answer.status_code not in (200, 404):
            raise ExecutorError(f"Ray could not stop {name}: {_last_line(answer.text)}")

    def logs(self, name: str, limit: int = 65536) -> str:
        """The end of the job's output."""
        return self._output(name)[-limit:]

    def log_part(self, name: str, after: int, limit: int = 65536) -> tuple[str, int]:
        """The job's output after byte `after`, and where it ends. Ray gives the whole of it each time."""
        content = self._output(name).encode()
        start = max(after if after <= len(content) else 0, len(content) - limit)
        return content[start:].decode("utf-8", "replace"), len(content)

    def ending(self, name: str) -> str:
        """How the job ended, as Ray tells it."""
        job = self._job(name) or {}
        code = job.get("driver_exit_code")
        if isinstance(code, int) and code:
            return told(code)
        return _last_line(job["message"])[:300] if job.get("status") == "FAILED" and job.get("message") else ""

    def forget(self, name: str) -> None:
        """Remove the record of a job that has ended; its log stays until Ray removes it with the session."""
        answer = self._ask("DELETE", name)
        if answer.status_code not in (200, 404):
            raise ExecutorError(f"Ray does not forget {name}: {_last_line(answer.text)}")

    def _output(self, name: str) -> str:
        answer = self._ask("GET", f"{name}/logs")
        if answer.status_code == 404:
            return ""
        if answer.status_code != 200:  # the node that has it may be busy, or gone
            raise ExecutorError(f"Ray does not give the log of {name} now: {_last_line(answer.text)}")
        return str(answer.json().get("logs") or "")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _job(self, name: str) -> dict[str, Any] | None:
        answer = self._ask("GET", name)
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise ExecutorError(f"Ray does not tell of {name}: {_last_line(answer.text)}")
        return answer.json()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return self._session.request(
                method, f"{self.address}/api/jobs/{path}", json=body, timeout=_TIMEOUT, allow_redirects=False
            )
        except self._errors as error:
            raise ExecutorError(f"Ray at {self.address} does not answer ({type(error).__name__}).") from None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:500] if lines else "no reason given"
