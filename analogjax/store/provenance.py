"""Provenance of a result: time, versions, machine, commit, command line and environment, without secrets."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from typing import Any

from analogjax._version import __version__
from analogjax.store import redact

_PACKAGES = (
    "jax", "jaxlib", "numpy", "flax", "optax", "orbax-checkpoint", "fsspec", "s3fs", "gcsfs", "matplotlib", "torch",
    "keras", "tensorflow", "ray", "libtpu", "jax-cuda12-plugin", "jax-cuda13-plugin", "jax-rocm60-plugin",
)  # fmt: skip
_VARIABLES = {
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE",
    "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "LIBTPU_INIT_ARGS", "TPU_VISIBLE_CHIPS", "OMP_NUM_THREADS",
    "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED", "MPLBACKEND", "SLURM_JOB_ID", "SLURM_JOB_NAME",
    "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_NNODES",
    "SLURM_CPUS_PER_TASK", "SLURM_JOB_PARTITION",
}  # fmt: skip
_PREFIXES = ("JAX_", "XLA_")
_GIT_TIMEOUT = 2.0  # [s] a repository on a sleeping network disk must not hold up a run
_LONGEST = 2000  # characters of one argument that are kept; `python -c` can hold a whole program


def provenance() -> dict[str, Any]:
    """Collect the provenance of this process, as plain JSON values.

    `time` (ISO 8601, UTC), `analogjax`, `python`, `packages` (versions of relevant installed packages, none of which is
    imported for this), `platform`, `host`, `git` (`commit`, and `dirty`: whether tracked files differ from it, `None`
    if git did not answer in time; `git` is `None` outside a repository or without git), `command` (as typed, secrets
    replaced by `***`) and `environment` (JAX_*, XLA_* and a list of harmless names, nothing else). Never raises.
    """
    return {
        "time": now(),
        "analogjax": __version__,
        "python": platform.python_version(),
        "packages": dict(_packages()),
        "platform": platform.platform(),
        "host": platform.node(),
        "git": _git_here(),
        "command": [_shortened(argument) for argument in redact.command(sys.orig_argv)],
        "environment": redact.variables({name: value for name, value in os.environ.items() if _harmless(name)}),
    }


def now() -> str:
    """The time, UTC: `2026-11-22T20:15:30.125+00:00`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _harmless(name: str) -> bool:
    return name in _VARIABLES or name.startswith(_PREFIXES)


def _shortened(argument: str) -> str:
    return argument if len(argument) <= _LONGEST else argument[:_LONGEST] + "…"


@cache
def _packages() -> tuple[tuple[str, str], ...]:
    found = []
    for name in _PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def _git_here() -> dict[str, Any] | None:
    try:
        found = _git(os.getcwd())
    except OSError:  # the current directory was removed
        return None
    return None if found is None else dict(zip(("commit", "dirty"), found, strict=True))


@cache
def _git(folder: str) -> tuple[str, bool | None] | None:
    commit = _run_git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return None
    changes = _run_git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _run_git(folder: str, *arguments: str) -> str | None:
    """Output of git, `None` if it fails, hangs or is not installed. Nothing in the repository is written or started."""
    harmless = ("--no-optional-locks", "-c", "core.fsmonitor=false")
    try:
        done = subprocess.run(
            ["git", *harmless, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=_GIT_TIMEOUT, check=True, text=True, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
