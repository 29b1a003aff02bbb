"""An engine for tests: child processes, without anything that would outlive the test."""

import subprocess
from pathlib import Path

from analogjax.cloud.executors import Phase, Ticket


class PlainExecutor:
    """Runs each ticket as a child process."""

    kind = "local"

    def __init__(self, folder: Path, capacity: int = 2) -> None:
        self.folder, self.capacity = folder, capacity
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes: dict[str, subprocess.Popen] = {}
        self.tickets: list[Ticket] = []

    def submit(self, ticket: Ticket) -> None:
        if ticket.name in self.processes:
            return
        self.tickets.append(ticket)
        with open(self.folder / f"{ticket.name}.log", "wb") as log:
            self.processes[ticket.name] = subprocess.Popen(ticket.command, stdout=log, stderr=log)

    def phases(self, names):
        found = {}
        for name in names:
            process = self.processes.get(name)
            ended = process is not None and process.poll() is not None
            found[name] = Phase.UNKNOWN if process is None else Phase.ENDED if ended else Phase.RUNNING
        return found

    def cancel(self, name: str) -> None:
        if name in self.processes:
            self.processes[name].kill()

    def logs(self, name: str, limit: int = 65536) -> str:
        path = self.folder / f"{name}.log"
        return path.read_bytes()[-limit:].decode("utf-8", "replace") if path.exists() else ""

    def log_part(self, name: str, after: int, limit: int = 65536) -> tuple[str, int]:
        whole = self.logs(name)
        return whole[after:], len(whole)

    def ending(self, name: str) -> str:
        return ""

    def forget(self, name: str) -> None:
        (self.folder / f"{name}.log").unlink(missing_ok=True)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
