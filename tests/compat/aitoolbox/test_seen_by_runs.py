"""`analogjax runs` and `store.list_saved` know what the savers have saved."""

import json

import pytest
from aitoolbox.experiment.experiment_saver import FullFlaxExperimentGoogleStorageSaver, FullFlaxExperimentS3Saver
from aitoolbox.experiment.local_experiment_saver import FullFlaxExperimentLocalSaver

from analogjax.cli import main
from analogjax.store import RunRecord, list_saved


def test_both_kinds_on_one_root_are_listed_newest_first(tmp_path, package, history, capsys):
    record = RunRecord.begin(tmp_path / "own", config={"epochs": 1}, seed=3)
    record.finish("completed")
    saver = FullFlaxExperimentLocalSaver("digits", "linear_a", str(tmp_path))
    saver.save_experiment({"w": 1.0}, package(hyperparameters={"lr": 0.1, "dataset": "Digits"}), history, "1")
    assert main(["runs", "list", str(tmp_path)]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.startswith("run") and first.split()[:3] == ["digits/linear_a_1", "saved", "Digits"]
    assert "50.00%" in first and second.startswith("own")
    assert main(["runs", "list", str(tmp_path), "--output", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == ["digits/linear_a_1", "own"] and rows[0]["size"] > 100


def test_one_is_shown_by_its_name_or_its_folder(tmp_path, package, history, capsys):
    saver = FullFlaxExperimentLocalSaver("digits", "linear", str(tmp_path))
    saver.save_experiment({"w": 1.0}, package(hyperparameters={"lr": 0.125}), history, "1")
    for name in (["digits/linear_1", "--root", str(tmp_path)], [str(tmp_path / "digits/linear_1")]):
        assert main(["runs", "show", *name]) == 0
        told = capsys.readouterr().out
        assert told.startswith("# digits/linear_1") and "| lr" in told and "0.125" in told and "accuracy" in told
        assert "model/model_linear_1.npz" in told and "| python" in told
    assert main(["runs", "show", "digits/linear_1", "--root", str(tmp_path), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"] == {"accuracy": 0.5}
    assert main(["runs", "show", "digits/other_1", "--root", str(tmp_path)]) == 2


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_in_a_bucket(request, tmp_path, package, history, kind):
    server = request.getfixturevalue({"s3": "s3_server", "gs": "gcs_server"}[kind])
    saver = {"s3": FullFlaxExperimentS3Saver, "gs": FullFlaxExperimentGoogleStorageSaver}[kind]
    bucket = server.bucket()
    made = saver("digits", "linear", bucket, "lead", str(tmp_path), storage_options=server.options)
    made.save_experiment({"w": 1.0}, package(), history, "1")
    (found,) = list_saved(f"{kind}://{bucket}/lead", storage_options=server.options)
    assert found.id == "digits/linear_1" and found.results == {"accuracy": 0.5} and found.size > 0


def test_files_of_others_and_deleted_experiments_are_passed_over(tmp_path, package, history):
    saver = FullFlaxExperimentLocalSaver("digits", "linear", str(tmp_path), keep_last=1)
    for stamp in ("1", "2"):
        saver.save_experiment({"w": 1.0}, package(), history, stamp)
    for name, content in {"a": "{}", "b": "[]", "c": "no JSON", "d": '{"deleted": false, "files": {"x": 3}}'}.items():
        (tmp_path / "others" / name).mkdir(parents=True)
        (tmp_path / "others" / name / ".checksums.json").write_text(content)
    assert [one.id for one in list_saved(tmp_path)] == ["digits/linear_2"]
