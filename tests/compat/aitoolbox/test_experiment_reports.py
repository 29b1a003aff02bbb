"""Hyperparameters, sources, histories and gradients as files; packages; the small utilities."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from aitoolbox.experiment.core_metrics.classification import AccuracyMetric, F1ScoreMetric
from aitoolbox.experiment.result_package.abstract_result_packages import (
    MultipleResultPackageWrapper,
    PreCalculatedResultPackage,
)
from aitoolbox.experiment.result_package.basic_packages import GeneralResultPackage, RegressionResultPackage
from aitoolbox.experiment.result_package.hf_evaluate_packages import HFEvaluateResultPackage
from aitoolbox.experiment.result_reporting.hyperparam_reporter import HyperParamSourceReporter
from aitoolbox.experiment.result_reporting.report_generator import (
    GradientPlotter,
    TrainingHistoryPlotter,
    TrainingHistoryWriter,
)
from aitoolbox.experiment.training_history import TrainingHistory
from aitoolbox.torchtrain.callbacks.abstract import AbstractCallback
from aitoolbox.torchtrain.multi_loss_optim import MultiLoss
from aitoolbox.torchtrain.train_loop import TrainLoop
from aitoolbox.utils import dict_util, file_system


@pytest.fixture
def reporter(tmp_path):
    return HyperParamSourceReporter("p", "e", "1", str(tmp_path / "root"))


def test_hyperparameters_are_one_line_each(reporter):
    path = reporter.save_hyperparams_to_text_file({"b": "two\nlines", "a": 1})
    assert Path(path).read_text() == "b:\ttwo\\nlines\na:\t1\n"
    reporter.save_hyperparams_to_text_file({"b": 2, "a": 1}, sort_names=True)
    assert Path(path).read_text() == "a:\t1\nb:\t2\n"


def test_the_main_script_is_copied(reporter, tmp_path, capsys):
    (tmp_path / "main.py").write_text("print(1)")
    copy = reporter.save_experiment_python_file({"experiment_file_path": str(tmp_path / "main.py")})
    assert copy == f"{reporter.experiment_dir_path}/main.py" and Path(copy).read_text() == "print(1)"
    for hyperparams in ({}, {"experiment_file_path": "/nowhere.py"}):
        assert reporter.save_experiment_python_file(hyperparams) is None
        assert "not copied" in capsys.readouterr().out


def test_sources_are_packed_again_and_again(reporter, tmp_path):
    for folder in ("one/src", "two/src"):
        (tmp_path / folder / "__pycache__").mkdir(parents=True)
        (tmp_path / folder / "code.py").write_text(folder)
        (tmp_path / folder / "__pycache__/code.pyc").write_text("")
    for _ in range(2):
        path = reporter.save_experiment_source_files(
            {"source_dirs_paths": [f"{tmp_path}/one/src/", f"{tmp_path}/two/src"]}
        )
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["src/code.py", "src_1/code.py"]
    assert sorted(file.name for file in Path(path).parent.iterdir() if not file.name.startswith(".")) == [
        "source_code.zip"
    ]
    assert reporter.save_experiment_source_files({"source_dirs_paths": "a string"}) is None
    with pytest.raises(FileNotFoundError, match="nowhere"):
        reporter.save_experiment_source_files({"source_dirs_paths": ["/nowhere"]})


def test_a_resumed_run_writes_no_second_header(tmp_path):
    history = TrainingHistory(has_validation=False)
    for epoch in range(3):
        history["loss"] = torch.tensor(epoch + 0.5)
        history["by"] = {"class": {"a": epoch}}
        _, path = TrainingHistoryWriter(str(tmp_path)).generate_report(history, epoch, "h.csv", "new/er", "csv")
    assert Path(path).read_text().split() == ["Epoch,loss,by_class_a", "0,0.5,0", "1,1.5,1", "2,2.5,2"]
    assert TrainingHistoryWriter(str(tmp_path)).generate_report(history, 0, "h.txt", None) == (
        "h.txt", str(tmp_path / "h.txt"))  # fmt: skip
    with pytest.raises(ValueError, match="'txt', 'tsv' or 'csv'"):
        TrainingHistoryWriter(str(tmp_path)).generate_report(history, 0, "h.xml", file_format="xml")


def test_plots_as_one_pdf(tmp_path, history):
    plotter = TrainingHistoryPlotter(str(tmp_path))
    assert plotter.generate_report(history, "plots", "pdf") == [["plots.pdf", str(tmp_path / "plots.pdf")]]
    assert (tmp_path / "plots.pdf").read_bytes()[:4] == b"%PDF"
    with pytest.raises(ValueError, match="'png' or 'pdf'"):
        plotter.generate_report(history, file_format="svg")
    figure = TrainingHistoryPlotter.plot_performance_curve("loss", [2.0, 1.0, 3.0])
    captions = [text.get_text() for text in figure.axes[0].texts]
    assert captions == ["loss", "Max result: 3 loss (at epoch 2)", "Min result: 1 loss (at epoch 1)"]


def test_gradients(tmp_path, capsys):
    layers = [np.random.default_rng(0).normal(size=100), None, torch.zeros(3), np.array([np.nan]), "text"]
    with pytest.warns(UserWarning, match="'layer 4' could not be plotted"):
        paths = GradientPlotter(str(tmp_path)).generate_report(layers)
    assert [name for name, _ in paths] == [f"grad_plots/layer_{index}.png" for index in (0, 2, 3)]
    assert "Layer 1 has no gradients" in capsys.readouterr().out
    figure = GradientPlotter.plot_gradient_distribution(layers[0], "first")
    _, line = figure.axes[0].lines[0].get_data()
    at, _ = figure.axes[0].lines[0].get_data()
    assert np.trapezoid(line, at) == pytest.approx(1, abs=0.01)


def test_the_check_of_a_history_is_about_lengths(capsys):
    TrainingHistory().wrap_pre_prepared_history({"a": [1, 2], "b": [3, 4]}).qa_check_history_records()
    TrainingHistory().wrap_pre_prepared_history({}).qa_check_history_records()
    assert capsys.readouterr().out == ""
    TrainingHistory().wrap_pre_prepared_history({"a": [1, 2], "b": [3]}).qa_check_history_records()
    assert "b has 1 values, a has 2" in capsys.readouterr().out


def test_pre_calculated_results_survive_an_evaluation():
    package = PreCalculatedResultPackage({"a": 1})
    package.prepare_result_package([1], [1])
    assert package.get_results() == {"a": 1}


def test_general_package(capsys):
    package = GeneralResultPackage([AccuracyMetric, F1ScoreMetric])
    package.prepare_result_package([0, 1], [0, 1])
    assert package.get_results() == {"Accuracy": 1.0, "F1_score": 1.0}
    GeneralResultPackage([]).prepare_result_package([0], [0], {})
    assert "list of metrics is empty" in capsys.readouterr().out


def test_hf_package_without_additional_results():
    class Metric:
        def compute(self, references, predictions):
            return {"n": len(references)}

    package = HFEvaluateResultPackage(Metric())
    package.prepare_result_package([1, 2], [1, 2])
    assert package.get_results() == {"n_HFEvaluate": 2}


def test_packages_of_packages_keep_their_files():
    one, two = PreCalculatedResultPackage({"a": 1}), PreCalculatedResultPackage({"b": 2})
    two.list_additional_results_dump_paths = lambda: [["x", "/x"]]
    both = MultipleResultPackageWrapper()
    both.prepare_result_package([one, two], {})
    assert both.get_additional_results_dump_paths() == [["x", "/x"]] and len(both) == 2
    assert both.get_results() == {"PreCalculatedResult": {"a": 1}, "PreCalculatedResult1": {"b": 2}}


def test_archives_stay_inside_their_folder(tmp_path):
    tar = tmp_path / "x.tar.gz"
    with tarfile.open(tar, "w:gz") as archive:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(tarfile.OutsideDestinationError):
        file_system.unzip_file(str(tar), str(tmp_path / "in"))
    assert not (tmp_path / "outside").exists()
    with pytest.raises(ValueError, match="neither"):
        file_system.unzip_file(str(tmp_path / "x.rar"), str(tmp_path))


def test_dictionaries():
    assert dict_util.flatten_dict({"a": {1: {"b": 2}}, "c": 3}) == {"a_1_b": 2, "c": 3}
    with pytest.raises(TypeError, match="'m' is a int"):
        dict_util.combine_prediction_metadata_batches([{"m": 1}])


def test_regression_package():
    package = RegressionResultPackage()
    package.prepare_result_package([1.0, 2.0], [1.0, 4.0])
    assert package.get_results() == {"Mean_squared_error": 2.0, "Mean_absolute_error": 1.0}


def test_the_names_of_torchtrain():
    loop = TrainLoop(torch.nn.Linear(1, 1), [], None, None, None, None)
    assert list(loop.train_history.keys()) == ["loss", "accumulated_loss"]
    with pytest.raises(NotImplementedError, match="training loop is not part"):
        loop.fit(1)
    callback = AbstractCallback("mine")
    assert callback.register_train_loop_object(loop).train_loop_obj is loop
    losses = MultiLoss({"a": torch.tensor(1.0), "b": torch.tensor(2.0)})
    assert losses.item() == {"a": 1.0, "b": 2.0} and losses.optimizer_loss_map == {0: "a", 1: "b"}
    with pytest.raises(ValueError, match="loss_optimizer_map"):
        MultiLoss({"a": 1}, {})
