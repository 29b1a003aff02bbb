"""A recorded run as the event files of TensorBoard."""

from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError, MissingPackage
from analogjax.report.export_points import points_of
from analogjax.report.run_report import run_report
from analogjax.store.runs import Run

_EVENTS = "events.out.tfevents."


def export_tensorboard(run: Run, path: str) -> str:
    """Write the run into a folder of its own below `path`; returns the command that shows it.

    An export of the same run that is there already is replaced. Raises `MissingPackage`, and `ConfigError` if the
    folder holds anything else or can't be written.
    """
    modules = _tensorboard_modules()
    folder = Path(path, run.id)
    try:
        before = _earlier(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _write_events(run, folder, *modules)
        for file in before:
            file.unlink()
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
        for step, time, metrics in points_of(run):
            values = [summary.Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
            writer.add_event(event.Event(wall_time=time, step=step, summary=summary.Summary(value=values)))
    finally:
        writer.close()


def _earlier(folder: Path) -> list[Path]:
    """The files of an earlier export. Raises `ConfigError` if there are others."""
    there = list(folder.iterdir()) if folder.exists() else []
    strange = [file.name for file in there if not file.name.startswith(_EVENTS)]
    if strange:
        raise ConfigError(
            f"export to {folder}: holds files that are not of TensorBoard ({strange[0]}); give another folder."
        )
    return there
