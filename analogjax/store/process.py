"""The process that writes a record, and whether it is still alive, as far as that can be determined from here."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Identify this process by plain values, from which `alive` finds it again."""
    return {"host": platform.node(), "machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def alive(process: Any) -> bool | None:
    """Whether the process identified by `this_process` is running; `None` if that can't be determined from here."""
    machine = _machine()
    if not isinstance(process, dict) or machine is None or process.get("machine") != machine:
        return None
    pid = process.get("pid")
    started = _started(pid) if isinstance(pid, int) else None
    return started is not None and started == process.get("started")  # numbers are given again, but not at one time


def _machine() -> str | None:
    """This boot of this machine and this container, within which process numbers are unique. `None` outside Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """When a process was started, in ticks since the boot; `None` if there is none (a dead, unreaped one counts so)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
