"""Engines that run workers, behind one contract: this machine, Ray, Slurm."""

from __future__ import annotations

from pathlib import Path

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors.executor import Executor as Executor
from analogjax.cloud.executors.executor import Phase as Phase
from analogjax.cloud.executors.executor import Ticket as Ticket

KINDS = ("local", "ray", "slurm")


def executor_for(
    kind: str,
    *,
    folder: Path,
    workers: int = 1,
    ray_address: str = "http://127.0.0.1:8265",
    slurm_partition: str | None = None,
    gpus: int = 0,
) -> Executor:
    """The engine of that kind. `folder` is for its own notes and logs; `gpus` is what a job with device gpu asks for.

    Raises `ExecutorError` for an unknown kind, `MissingPackage` where its package is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "local":
        from analogjax.cloud.executors.local import LocalExecutor

        return LocalExecutor(folder, workers)
    if kind == "ray":
        from analogjax.cloud.executors.ray_jobs import RayExecutor

        return RayExecutor(ray_address, gpus_per_job=gpus)
    if kind == "slurm":
        from analogjax.cloud.executors.slurm import SlurmExecutor

        return SlurmExecutor(folder, partition=slurm_partition, gpus_per_job=gpus)
    raise ExecutorError(f"The executor {kind!r} is unknown; known are {', '.join(KINDS)}.")
