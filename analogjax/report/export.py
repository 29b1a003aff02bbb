"""Exports a recorded run to the formats of other tools; exports of the same run may be repeated."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

from analogjax.errors import ConfigError
from analogjax.report.export_mlflow import export_mlflow
from analogjax.report.export_tensorboard import export_tensorboard
from analogjax.report.export_trackio import export_trackio
from analogjax.report.export_wandb import export_wandb
from analogjax.store.files import replacing
from analogjax.store.json_values import strict
from analogjax.store.runs import Run

TEXT_FORMATS = ("csv", "json")
FOLDER_FORMATS: dict[str, Callable[[Run, str], str]] = {
    "tensorboard": export_tensorboard,
    "mlflow": export_mlflow,
    "wandb": export_wandb,
    "trackio": export_trackio,
}


def export_text(run: Run, kind: str) -> str:
    """Return the run as `csv` (one row per epoch, a column per metric) or `json` (everything; NaN becomes null)."""
    return {"csv": _csv, "json": _json}[kind](run)


def export_file(run: Run, kind: str, path: str | os.PathLike[str]) -> None:
    """Write the result of `export_text` to the file `path`. Raises `ConfigError` if it can't be written."""
    try:
        with replacing(Path(path)) as draft:
            draft.write_text(export_text(run, kind), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"export to {path}: can't be written ({error.strerror}); give a writable file.") from None


def export_folder(run: Run, kind: str, path: str | os.PathLike[str]) -> str:
    """Add the run to the folder `path` as one of `FOLDER_FORMATS`; returns the command that shows or uploads it.

    For MLflow, `path` may also be a tracking URI (`sqlite:///mlflow.db`). An export of the same run that is there
    already is replaced. Raises `MissingPackage`, and `ConfigError` if the place can't be written.
    """
    return FOLDER_FORMATS[kind](run, os.fspath(path))


def _csv(run: Run) -> str:
    names = ["epoch", *dict.fromkeys(name for entry in run.epochs for name in entry if name != "epoch")]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(run.epochs)
    return out.getvalue()


def _json(run: Run) -> str:
    value = {
        "id": run.id, "location": run.location.url, "config": run.config, "seed": run.seed, "status": run.status,
        "environment": run.environment, "epochs": run.epochs,
        "files": {entry.name: entry.size for entry in run.files},
    }  # fmt: skip
    return json.dumps(strict(value), indent=2) + "\n"
