"""A recorded run as a run of MLflow."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError, MissingPackage
from analogjax.report.export_points import points_of
from analogjax.report.run_report import CURVES, REPORT
from analogjax.report.text import flat, shown
from analogjax.store.runs import Run

_EXPERIMENT = "analogjax"  # what MLflow groups the runs under
_TAG = "analogjax.location"  # by which a run is found again
_LONGEST = 500  # characters of a parameter that every version of MLflow takes


def export_mlflow(run: Run, path: str) -> str:
    """Add the run to an MLflow store, a folder or a tracking URI; returns the command that shows it.

    A run that is there already gets what is new. Raises `MissingPackage`, and `ConfigError` if MLflow refuses.
    """
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
    known = client.search_runs([number], f"tags.`{_TAG}` = '{run.location.url}'")
    begun = round(datetime.fromisoformat(run.status["begun"]).timestamp() * 1000)
    if known:
        there = known[0].info.run_id
    else:
        there = client.create_run(number, start_time=begun, tags=_tags(run), run_name=run.id).info.run_id
    told = {name: _last_step(client, there, name) for name in (known[0].data.metrics if known else {})}
    parameters = (flat(run.config) | {"seed": run.seed}).items()
    _in_parts(client, there, "params", [Param(name, shown(value)[:_LONGEST]) for name, value in parameters])
    points = [
        Metric(name, value, round(1000 * time), step)
        for step, time, metrics in points_of(run)
        for name, value in metrics.items()
        if math.isfinite(value) and step > told.get(name, -1)  # not every store of MLflow takes NaN
    ]
    _in_parts(client, there, "metrics", points)
    _attach(run, client, there)
    ended = run.status.get("ended")
    end = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}.get(run.status["status"], "RUNNING")
    client.set_terminated(there, end, round(datetime.fromisoformat(ended).timestamp() * 1000) if ended else None)


def _last_step(client: Any, there: str, name: str) -> int:
    return max((point.step for point in client.get_metric_history(there, name)), default=-1)


def _in_parts(client: Any, there: str, kind: str, items: list[Any]) -> None:
    for start in range(0, len(items), 100):  # MLflow takes 100 parameters at a time
        client.log_batch(there, **{kind: items[start : start + 100]})


def _tags(run: Run) -> dict[str, str]:
    tags = {_TAG: run.location.url, "analogjax.version": run.environment["analogjax"]}
    git = run.environment.get("git")
    return tags | ({"mlflow.source.git.commit": git["commit"]} if git else {})


def _attach(run: Run, client: Any, there: str) -> None:
    with tempfile.TemporaryDirectory(prefix="analogjax-") as folder:
        for name in (REPORT, CURVES):
            if any(entry.name == name for entry in run.files):
                run.location.download(name, Path(folder, name))
                client.log_artifact(there, str(Path(folder, name)))
