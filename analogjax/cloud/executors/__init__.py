"""Engines that run workers behind one protocol: this machine, Ray, Slurm. To add one, add its file and a row."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors.executor import Executor as Executor
from analogjax.cloud.executors.executor import ExecutorSettings as ExecutorSettings
from analogjax.cloud.executors.executor import Phase as Phase
from analogjax.cloud.executors.executor import Ticket as Ticket
from analogjax.cloud.executors.local import LocalSettings
from analogjax.cloud.executors.ray_jobs import RaySettings
from analogjax.cloud.executors.slurm import SlurmSettings

EXECUTORS: dict[str, type[ExecutorSettings]] = {"local": LocalSettings, "ray": RaySettings, "slurm": SlurmSettings}


def executor_for(kind: str, *, folder: Path, **options: Any) -> Executor:
    """Make an engine. `folder` is for its own notes and logs; `options` are fields of its settings.

    Raises `ExecutorError` for an unknown kind or option, `MissingPackage` if its package is not installed.
    """
    if kind not in EXECUTORS:
        raise ExecutorError(f"The executor {kind!r} is unknown; known are {', '.join(EXECUTORS)}.")
    known = [field.name for field in fields(EXECUTORS[kind])]
    for name in options:
        if name not in known:
            raise ExecutorError(f"The executor {kind!r} has no setting {name!r}; it has {', '.join(known)}.")
    folder.mkdir(parents=True, exist_ok=True)
    return EXECUTORS[kind](**options).start(folder)
