"""Exports a recorded run to the formats of other tools: CSV, JSON, TensorBoard's event files, MLflow's store."""

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError, MissingPackage
from analogjax.report.run_report import CURVES, REPORT, run_report
from analogjax.report.text import flat, shown, strict
from analogjax.store.files import replacing
from analogjax.store.runs import Run

TEXT_FORMATS, FOLDER_FORMATS = ("csv", "json"), ("tensorboard", "mlflow")
_EXPERIMENT = "analogjax"  # what MLflow groups the runs under
_TAG = "analogjax.run"
_LONGEST = 500  # characters of a parameter that every version of MLflow takes


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
    """Add the run to the folder `path` as `tensorboard` or `mlflow` files; returns the command that displays them.

    TensorBoard's files go into a folder with the name of the run. For MLflow, `path` may also be a tracking URI
    (`sqlite:///mlflow.db`). Raises `MissingPackage`, and `ConfigError` if the run is there already or the place can't
    be written.
    """
    return {"tensorboard": _tensorboard, "mlflow": _mlflow}[kind](run, os.fspath(path))


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


def _points(run: Run) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Number, time [s since 1970] and metrics of each epoch; the time counts from the start of the run."""
    time = datetime.fromisoformat(run.status["begun"]).timestamp()
    for entry in run.epochs:
        time += entry.get("time_epoch") or 0.0
        numbers = {name: float(value) for name, value in entry.items() if name != "epoch" and _is_number(value)}
        yield entry["epoch"], time, numbers


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _tensorboard(run: Run, path: str) -> str:
    modules = _tensorboard_modules()
    folder = Path(path, run.id)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"export to {folder}: there are files already; remove them, or give another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        _write_events(run, folder, *modules)
    except OSError as error:
        raise ConfigError(f"export to {folder}: can't be written ({error.strerror}); give a writable folder.") from None
    return f"tensorboard --logdir {path}"


def _tensorboard_modules() -> tuple[Any, Any, Any, Any, Any]:
    """The writer and the messages of `tensorboard`, or the same ones of `tensorboardX`."""
    for writer, messages in (
        ("tensorboard.summary.writer.event_file_writer", "tensorboard.compat.proto"),
        ("tensorboardX.event_file_writer", "tensorboardX.proto"),
    ):
        try:
            names = ("event_pb2", "summary_pb2", "tensor_pb2", "tensor_shape_pb2")
            return (import_module(writer), *(import_module(f"{messages}.{name}") for name in names))  # type: ignore[return-value]
        except ImportError:
            continue
    raise MissingPackage("export to TensorBoard needs the package tensorboard: pip install tensorboard")


def _write_events(run: Run, folder: Path, writers: Any, event: Any, summary: Any, tensor: Any, shape: Any) -> None:
    def text(name: str, content: str, time: float) -> Any:
        metadata = summary.SummaryMetadata(plugin_data=summary.SummaryMetadata.PluginData(plugin_name="text"))
        one = shape.TensorShapeProto(dim=[shape.TensorShapeProto.Dim(size=1)])
        value = tensor.TensorProto(dtype=7, tensor_shape=one, string_val=[content.encode()])  # 7: DT_STRING
        tagged = summary.Summary.Value(tag=f"{name}/text_summary", metadata=metadata, tensor=value)
        return event.Event(wall_time=time, step=0, summary=summary.Summary(value=[tagged]))

    writer = writers.EventFileWriter(str(folder))
    try:
        begun = datetime.fromisoformat(run.status["begun"]).timestamp()
        writer.add_event(text("report", run_report(run), begun))
        for step, time, metrics in _points(run):
            values = [summary.Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
            writer.add_event(event.Event(wall_time=time, step=step, summary=summary.Summary(value=values)))
    finally:
        writer.close()


def _mlflow(run: Run, path: str) -> str:
    with _mlflow_settings():
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError:
            raise MissingPackage("export to MLflow needs the package mlflow: pip install mlflow") from None
        uri = path if "://" in path else Path(path).absolute().as_uri()
        try:
            _log(run, MlflowClient(tracking_uri=uri))
        except (MlflowException, OSError) as error:
            first = str(error).splitlines()[0]
            raise ConfigError(f"export to {path}: MLflow refuses ({first}); give another folder or URI.") from error
    # newer versions of MLflow show a folder only if configured to
    return f"{'' if '://' in path else 'MLFLOW_ALLOW_FILE_STORE=true '}mlflow ui --backend-store-uri {path}"


@contextmanager
def _mlflow_settings() -> Iterator[None]:
    """Set the environment variables that MLflow needs for the duration of the block, unless the user has set them."""
    wanted = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _log(run: Run, client: Any) -> None:
    from mlflow.entities import Metric, Param

    experiment = client.get_experiment_by_name(_EXPERIMENT)
    number = client.create_experiment(_EXPERIMENT) if experiment is None else experiment.experiment_id
    if client.search_runs([number], f"tags.`{_TAG}` = '{run.id}'"):
        raise ConfigError(f"the run {run.id} is in this MLflow store already: remove it there, or give another place.")
    begun = round(datetime.fromisoformat(run.status["begun"]).timestamp() * 1000)
    there = client.create_run(number, start_time=begun, tags=_tags(run), run_name=run.id).info.run_id
    parameters = (flat(run.config) | {"seed": run.seed}).items()
    _in_parts(client, there, "params", [Param(name, shown(value)[:_LONGEST]) for name, value in parameters])
    points = [
        Metric(name, value, round(1000 * time), step)
        for step, time, metrics in _points(run)
        for name, value in metrics.items()
        if math.isfinite(value)  # not every store of MLflow takes NaN
    ]
    _in_parts(client, there, "metrics", points)
    _attach(run, client, there)
    ended = run.status.get("ended")
    end = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}.get(run.status["status"], "RUNNING")
    client.set_terminated(there, end, round(datetime.fromisoformat(ended).timestamp() * 1000) if ended else None)


def _in_parts(client: Any, there: str, kind: str, items: list[Any]) -> None:
    for start in range(0, len(items), 100):  # MLflow takes 100 parameters at a time
        client.log_batch(there, **{kind: items[start : start + 100]})


def _tags(run: Run) -> dict[str, str]:
    tags = {_TAG: run.id, "analogjax.location": run.location.url, "analogjax.version": run.environment["analogjax"]}
    git = run.environment.get("git")
    return tags | ({"mlflow.source.git.commit": git["commit"]} if git else {})


def _attach(run: Run, client: Any, there: str) -> None:
    with tempfile.TemporaryDirectory(prefix="analogjax-") as folder:
        for name in (REPORT, CURVES):
            if any(entry.name == name for entry in run.files):
                run.location.download(name, Path(folder, name))
                client.log_artifact(there, str(Path(folder, name)))
