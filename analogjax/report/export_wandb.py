"""A recorded run as an offline run of Weights & Biases, to be uploaded by `wandb sync` whenever its owner wants."""

import hashlib
import math
import shutil
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError, MissingPackage
from analogjax.report.export_points import points_of
from analogjax.report.text import flat
from analogjax.store.runs import Run

_PROJECT = "analogjax"


def export_wandb(run: Run, path: str) -> str:
    """Write the run into `path/wandb`, without a network and without an account; returns the command that uploads it.

    An export of the same run that is there already is replaced, and its id stays, so that an upload replaces the
    uploaded one. Raises `MissingPackage`, and `ConfigError` if the folder can't be written.
    """
    try:
        import wandb
    except ImportError:
        raise MissingPackage("export to Weights & Biases needs the package wandb: pip install wandb") from None
    folder, name = Path(path), hashlib.sha256(run.location.url.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.glob(f"wandb/offline-run-*-{name}"))
        _log(run, wandb, folder, name)
        found = set(folder.glob(f"wandb/offline-run-*-{name}")) - before
        if len(found) != 1:
            raise ConfigError(f"export to {path}: wandb wrote no offline run there; is WANDB_MODE=disabled set?")
        for old in before:
            shutil.rmtree(old)
    except OSError as error:
        raise ConfigError(f"export to {path}: can't be written ({error.strerror}); give a writable folder.") from None
    return f"wandb sync {found.pop()}"


def _log(run: Run, wandb: Any, folder: Path, name: str) -> None:
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
    begun = wandb.init(
        mode="offline", dir=str(folder), id=name, name=run.id, project=_PROJECT, settings=settings,
        config=flat(run.config) | {"seed": run.seed}, notes=run.location.url, reinit="create_new",
    )  # fmt: skip
    for step, time, metrics in points_of(run):
        numbers = {key: value for key, value in metrics.items() if math.isfinite(value)}
        begun.log(numbers | {"_timestamp": time}, step=step)
    status = run.status["status"]
    begun.summary.update({"status": status} | flat(run.environment.get("git") or {}, "git"))
    begun.finish(exit_code=0 if status in ("completed", "running") else 1)
