"""Runs in the formats of other tools. Those of TensorBoard and MLflow are tried where these packages are installed."""

import csv
import io
import json
import os
import struct
import subprocess
import sys

import pytest

from analogjax.errors import ConfigError, MissingPackage
from analogjax.report.export import export_file, export_folder, export_text
from analogjax.report.run_report import write_report
from analogjax.store.runs import read_run
from tests.report.run_samples import entry, recorded


@pytest.fixture
def run(tmp_path):
    record, _ = recorded(tmp_path / "runs" / "a")
    record.epoch(entry(3, note="late", valid_loss=float("nan")))
    write_report(record)
    return read_run(record.location)


def test_csv_has_a_column_for_every_metric(run):
    rows = list(csv.DictReader(io.StringIO(export_text(run, "csv"))))
    assert [float(row["accuracy"]) for row in rows] == [0.25, 0.75, 0.5, 0.5]
    assert [row["note"] for row in rows] == ["", "", "", "late"] and rows[3]["valid_loss"] == "nan"


def test_json_is_strict_and_whole(run):
    value = json.loads(export_text(run, "json"), parse_constant=pytest.fail)
    assert value["config"] == run.config and value["epochs"][0] == run.epochs[0] and value["seed"] == 1
    assert value["epochs"][3]["valid_loss"] is None and "report.md" in value["files"]


def test_a_file_is_replaced_whole_or_not_at_all(run, tmp_path):
    export_file(run, "csv", tmp_path / "a.csv")
    export_file(run, "json", tmp_path / "a.csv")
    assert json.loads((tmp_path / "a.csv").read_text())["id"] == "a"
    with pytest.raises(ConfigError, match="can't be written"):
        export_file(run, "csv", tmp_path / "not" / "there.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="can't be written"):
        export_file(run, "csv", tmp_path / "folder")
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "folder", "runs"]


@pytest.mark.parametrize(
    ("kind", "packages"), [("tensorboard", ["tensorboard", "tensorboardX"]), ("mlflow", ["mlflow"])]
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(run, kind, packages, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackage, match=f"pip install {packages[0]}"):
        export_folder(run, kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not [name for name in os.environ if name.startswith("MLFLOW_")]


@pytest.mark.parametrize("package", ["tensorboard", "tensorboardX"])
def test_tensorboard_reads_what_was_exported(run, tmp_path, monkeypatch, package):
    pytest.importorskip(package)
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    if package == "tensorboardX":
        monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    assert export_folder(run, "tensorboard", tmp_path / "logs") == f"tensorboard --logdir {tmp_path / 'logs'}"
    found = accumulator.EventAccumulator(str(tmp_path / "logs" / "a")).Reload()
    points = found.Scalars("accuracy")
    assert [(point.step, point.value) for point in points] == [(0, 0.25), (1, 0.75), (2, 0.5), (3, 0.5)]
    assert points[1].wall_time - points[0].wall_time == pytest.approx(1.5, abs=1e-3)
    (text,) = found.Tensors("report/text_summary")
    assert text.tensor_proto.string_val[0].decode().startswith("# a\n")
    export_folder(run, "tensorboard", tmp_path / "logs")  # again: it replaces the first
    assert len(list((tmp_path / "logs" / "a").iterdir())) == 1
    assert len(accumulator.EventAccumulator(str(tmp_path / "logs" / "a")).Reload().Scalars("accuracy")) == 4
    (tmp_path / "logs" / "a" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        export_folder(run, "tensorboard", tmp_path / "logs")


@pytest.mark.filterwarnings("default")  # MLflow's own
def test_mlflow_reads_what_was_exported(run, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    assert export_folder(run, "mlflow", tmp_path / "ml").endswith(f"mlflow ui --backend-store-uri {tmp_path / 'ml'}")
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ
    export_folder(run, "mlflow", tmp_path / "ml")  # again: nothing is doubled
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "ml").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("analogjax").experiment_id])
    assert (found.info.run_name, found.info.status) == ("a", "FINISHED")
    assert found.data.params["set.dw_min"] == "0.002" and found.data.params["seed"] == "1"
    points = client.get_metric_history(found.info.run_id, "accuracy")
    assert [(point.step, point.value) for point in points] == [(0, 0.25), (1, 0.75), (2, 0.5), (3, 0.5)]
    assert {file.path for file in client.list_artifacts(found.info.run_id)} == {"report.md", "curves.png"}


def log_records(data: bytes):
    """The records of a log in LevelDB's format, as wandb writes it after 7 bytes of its own."""
    place, whole = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:  # the rest of a block is padding
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or its last part
            yield whole
            whole = b""


@pytest.mark.filterwarnings("default")  # its own
def test_wandb_reads_what_was_exported(run, tmp_path):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    for _ in range(2):  # again: it replaces the first
        told = export_folder(run, "wandb", tmp_path / "wb")
    (folder,) = (tmp_path / "wb" / "wandb").glob("offline-run-*")
    assert told == f"wandb sync {folder}"
    steps, config = [], {}
    for data in log_records(next(folder.glob("*.wandb")).read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            steps.append({(i.key or i.nested_key[0]): json.loads(i.value_json) for i in record.history.item})
        if record.HasField("run"):
            config = {i.key: json.loads(i.value_json) for i in record.run.config.update}
    assert [entry["accuracy"] for entry in steps] == [0.25, 0.75, 0.5, 0.5]
    assert config["set.dw_min"] == 0.002 and config["seed"] == 1


def test_trackio_reads_what_was_exported(run, tmp_path):
    pytest.importorskip("trackio")
    for _ in range(2):
        told = export_folder(run, "trackio", tmp_path / "tk")
    assert told == f"TRACKIO_DIR={tmp_path / 'tk'} trackio show --project analogjax"
    read = """if True:
        import json, trackio
        runs = trackio.Api().runs("analogjax")
        logs = trackio.SQLiteStorage.get_logs("analogjax", runs[0].name)
        print(json.dumps([len(runs), runs[0].config, logs]))"""
    found = subprocess.run(
        [sys.executable, "-c", read], capture_output=True, text=True, check=True,
        env=os.environ | {"TRACKIO_DIR": str(tmp_path / "tk")},
    )  # fmt: skip
    count, config, logs = json.loads(found.stdout.splitlines()[-1])
    assert count == 1 and config["set.dw_min"] == 0.002
    assert [(entry["step"], entry["accuracy"]) for entry in logs] == [(0, 0.25), (1, 0.75), (2, 0.5), (3, 0.5)]


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow", "wandb", "trackio"])
@pytest.mark.filterwarnings("default")
def test_a_folder_that_cannot_be_written(run, kind, tmp_path):
    pytest.importorskip(kind)
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match="export to"):
        export_folder(run, kind, tmp_path / "out")
