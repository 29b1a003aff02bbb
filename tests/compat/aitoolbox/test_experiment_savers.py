"""The same call for PyTorch, Keras and JAX models: folders, return values, stamps, formats, listing, retention."""

import json
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from aitoolbox.experiment.experiment_saver import AbstractExperimentSaver
from aitoolbox.experiment.local_experiment_saver import (
    BaseFullExperimentLocalSaver,
    FullFlaxExperimentLocalSaver,
    FullKerasExperimentLocalSaver,
    FullPyTorchExperimentLocalSaver,
)
from aitoolbox.experiment.local_save.local_model_save import PyTorchLocalModelSaver
from aitoolbox.experiment.local_save.local_results_save import LocalResultsSaver

from compat.aitoolbox.store.errors import DamagedFile, NoSuchExperiment

STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")


def tree(root):
    return sorted(
        str(path.relative_to(root))
        for path in Path(root).rglob("*")
        if path.is_file() and ".checksums" not in path.name
    )


@pytest.mark.parametrize(
    ("kind", "ending"),
    [(FullPyTorchExperimentLocalSaver, "pth"), (FullFlaxExperimentLocalSaver, "npz")],
)
def test_one_call_for_every_kind_of_model(tmp_path, package, history, checkpoint, kind, ending):
    saver = kind("project", "exp", str(tmp_path))
    assert isinstance(saver, AbstractExperimentSaver)
    model = checkpoint() if ending == "pth" else {"params": {"w": jax.numpy.arange(3.0)}, "epoch": 1}
    paths = saver.save_experiment(model, package(), history, "12", save_true_pred_labels=True)
    folder = "project/exp_12"
    names = [f"model/model_exp_12.{ending}", "results/results_hyperParams_hist_exp_12.p"]
    names += ["results/plots/loss.png", "results/plots/val_loss.png"]
    assert paths == [str(tmp_path / folder / name) for name in names]
    assert tree(tmp_path) == sorted(f"{folder}/{name}" for name in names)
    loaded = saver.load_experiment()
    assert (loaded.results, loaded.hyperparameters) == ({"accuracy": 0.5}, {"lr": 0.1})
    assert loaded.training_history == history.get_train_history() and loaded.y_true == [0, 1]
    assert loaded.experiment_timestamp == "12" and loaded.paths == paths[:2] and loaded.model["epoch"] == 1


def test_separate_files_and_json(tmp_path, package, history, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), file_format="json")
    paths = saver.save_experiment(checkpoint(), package(), history, "1", True, True)
    kinds = ["results", "hyperparams", "train_history", "true_pred_labels"]
    assert [Path(path).name for path in paths[1:5]] == [f"{kind}_e_1.json" for kind in kinds]
    contents = [json.loads(Path(path).read_text()) for path in paths[1:5]]
    head = {"experiment_name", "experiment_results_local_path"}
    assert set(contents[0]) == head | {"results"} and set(contents[1]) == head | {"hyperparameters"}
    assert set(contents[2]) == head | {"training_history"} and set(contents[3]) == {"y_true", "y_predicted"}
    loaded = saver.load_experiment(experiment_timestamp="1")
    assert loaded.results == {"accuracy": 0.5} and loaded.y_predicted == [1, 1] and len(loaded.paths) == 5


def test_the_newest_results_count_and_the_others_stay(tmp_path, package, history, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    saver.save_experiment(checkpoint(), package({"a": 1}), history, "1")
    saver.save_experiment(checkpoint(), package({"a": 2}), history, "1", separate_files=True)
    assert saver.load_experiment().results == {"a": 2}
    assert (tmp_path / "p/e_1/results/results_hyperParams_hist_e_1.p").exists()
    saver.save_experiment(checkpoint(), package({"a": 3}), history, "1")
    assert saver.load_experiment().results == {"a": 3}


def test_a_wrong_model_saver_is_refused(tmp_path):
    with pytest.raises(TypeError, match="AbstractLocalModelSaver"):
        BaseFullExperimentLocalSaver(object(), "p", "e", str(tmp_path))


def test_the_root_is_made(tmp_path, package, history, checkpoint):
    root = tmp_path / "not" / "there"
    FullPyTorchExperimentLocalSaver("p", "e", str(root)).save_experiment(checkpoint(), package(), history)
    [folder] = (root / "p").iterdir()
    assert STAMP.fullmatch(folder.name.removeprefix("e_"))


def test_saves_within_one_second_do_not_meet(tmp_path, package, history, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    threads = [
        threading.Thread(target=saver.save_experiment, args=(checkpoint(epoch=n), package({"n": n}), {}))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = saver.list_experiments("p")
    assert len(found) == 8 and all(one.complete for one in found)
    loaded = [saver.load_experiment(experiment_timestamp=one.experiment_timestamp) for one in found]
    assert sorted(one.results["n"] for one in loaded) == list(range(8))
    assert all(one.results["n"] == one.model["epoch"] for one in loaded)


def test_an_explicit_stamp_enters_the_same_folder_again(tmp_path, package, history, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    assert saver.save_experiment(checkpoint(), package(), history, "x") == saver.save_experiment(
        checkpoint(), package({"accuracy": 0.75}), history, "x"
    )
    PyTorchLocalModelSaver(str(tmp_path), checkpoint_model=True).save_model(checkpoint(epoch=7), "p", "e", "x", 7, 100)
    assert saver.load_experiment().results == {"accuracy": 0.75}
    loaded = saver.load_experiment(model_save_dir="checkpoint_model", epoch_num=7, iteration_idx=100)
    assert loaded.model["epoch"] == 7
    assert (tmp_path / "p/e_x/checkpoint_model/model_e_x_E7_ITER100.pth").exists()


def test_listing_is_in_order_and_latest_is_the_last(tmp_path, package, checkpoint):
    for name, stamp, value in [("a", "2024-01-02_00-00-00", 2), ("a", "2024-01-01_00-00-00", 1), ("b_c", "9", 3)]:
        saver = FullPyTorchExperimentLocalSaver("p", name, str(tmp_path))
        saver.save_experiment(checkpoint(), package({"v": value}), None, stamp)
    FullPyTorchExperimentLocalSaver("q", "a", str(tmp_path)).save_experiment(checkpoint(), package(), None, "1")
    listed = saver.list_experiments("p")
    assert [(one.experiment_name, one.experiment_timestamp) for one in listed] == [
        ("a", "2024-01-01_00-00-00"), ("a", "2024-01-02_00-00-00"), ("b_c", "9")]  # fmt: skip
    assert len(saver.list_experiments()) == 4 and {one.project_name for one in saver.list_experiments()} == {"p", "q"}
    assert saver.load_experiment("p", "a").results == {"v": 2}
    assert saver.load_experiment("p", "a", "2024-01-01_00-00-00").results == {"v": 1}


def test_what_is_not_there_is_said(tmp_path, package, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    with pytest.raises(NoSuchExperiment, match="no folder"):
        saver.load_experiment()
    saver.save_experiment(checkpoint(), package(), None, "1")
    with pytest.raises(FileNotFoundError, match=r"no experiment 'e' of 2.*There is: e_1"):
        saver.load_experiment(experiment_timestamp="2")
    with pytest.raises(NoSuchExperiment, match=r"no model .*E3.*model_e_1.pth"):
        saver.load_experiment(epoch_num=3)
    LocalResultsSaver(str(tmp_path)).save_experiment_results(package(), None, "p", "r", "1")
    with pytest.raises(NoSuchExperiment, match="cut off"):
        saver.load_experiment("p", "r")
    with pytest.raises(NoSuchExperiment, match="with_model=False"):
        saver.load_experiment("p", "r", "1")
    assert saver.load_experiment("p", "r", "1", with_model=False).results == {"accuracy": 0.5}


def test_folders_of_aitoolbox_itself_load_with_a_warning(tmp_path, package, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    saver.save_experiment(checkpoint(), package(), None, "2020-01-01_00-00-00")
    (tmp_path / "p/e_2020-01-01_00-00-00/.checksums.json").unlink()
    assert not saver.list_experiments()[0].verifiable
    with pytest.warns(UserWarning, match="no checksums"):
        assert saver.load_experiment().results == {"accuracy": 0.5}


def test_retention_keeps_the_last_and_what_is_not_ours(tmp_path, package, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), keep_last=2)
    (tmp_path / "p/e_2001-01-01_00-00-00/model").mkdir(parents=True)
    (tmp_path / "p/e_2001-01-01_00-00-00/model/model_foreign.pth").write_bytes(b"")
    FullPyTorchExperimentLocalSaver("p", "other", str(tmp_path)).save_experiment(checkpoint(), package(), None, "0")
    for day in range(1, 5):
        saver.save_experiment(checkpoint(), package({"d": day}), None, f"2024-01-0{day}_00-00-00")
    left = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert left == ["e_2001-01-01_00-00-00", "e_2024-01-03_00-00-00", "e_2024-01-04_00-00-00", "other_0"]
    with pytest.raises(ValueError, match="keep_last"):
        FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), keep_last=0)


def test_a_save_that_was_cut_off_does_not_count_as_one_to_keep(tmp_path, package, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), keep_last=2)
    for stamp in ("1", "2"):
        saver.save_experiment(checkpoint(), package(), None, stamp)
    for stamp in ("3", "4"):  # what a kill between the model and the results leaves
        saver.model_saver.save_model(checkpoint(), "p", "e", stamp)
    saver.save_experiment(checkpoint(), package(), None, "5")
    there = [(one.experiment_timestamp, one.complete) for one in saver.list_experiments("p")]
    assert there == [("2", True), ("3", False), ("4", False), ("5", True)]


def test_every_file_is_verified(tmp_path, package, history, checkpoint):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    saver.save_experiment(checkpoint(), package(), history, "1")
    plot = tmp_path / "p/e_1/results/plots/loss.png"
    good = plot.read_bytes()
    plot.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DamagedFile, match=r"loss\.png is damaged"):
        saver.load_experiment()
    assert saver.load_experiment(verify=False).results == {"accuracy": 0.5}
    plot.unlink()
    with pytest.raises(DamagedFile, match=r"loss.png was saved and cannot be read"):
        saver.load_experiment()
    plot.write_bytes(good)
    table = tmp_path / "p/e_1/.checksums.json"
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(DamagedFile, match="table of checksums"):
        saver.load_experiment()
    with pytest.warns(UserWarning, match="moved to .checksums.json.damaged"):
        saver.save_experiment(checkpoint(), package(), {}, "1")


def test_unmodified_readers_read_what_was_saved(tmp_path, package, history, checkpoint):
    model, results, *_ = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path)).save_experiment(
        checkpoint(), package(), history, "1"
    )
    with open(results, "rb") as file:
        content = pickle.load(file)
    keys = ["experiment_name", "experiment_results_local_path", "results", "hyperparameters", "training_history"]
    assert list(content) == keys and content["experiment_results_local_path"] == str(tmp_path / "p/e_1/results")
    assert torch.load(model)["epoch"] == 1


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15
def test_keras_goes_the_same_way(tmp_path, package, history):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    saver = FullKerasExperimentLocalSaver("p", "e", str(tmp_path))
    paths = saver.save_experiment(model, package(), history, "1")
    assert paths[0] == str(tmp_path / "p/e_1/model/model_e_1.h5")
    newer = FullKerasExperimentLocalSaver("p", "e", str(tmp_path), model_format="keras")
    model.layers[0].bias.assign(np.ones(2))
    assert newer.save_experiment(model, package(), history, "1")[0].endswith("model_e_1.keras")
    assert np.array_equal(saver.load_experiment().model.layers[0].bias, np.ones(2))
    with pytest.raises(AttributeError, match="PyTorch saver"):
        saver.save_experiment(torch.nn.Linear(1, 1), package(), history, "2")
    assert not (tmp_path / "p/e_2").exists()


@pytest.mark.parametrize(("package_name", "kind"), [("torch", "PyTorch"), ("keras", "Keras")])
def test_a_missing_framework_is_named_with_its_extra(tmp_path, package_name, kind):
    program = (
        f"import sys; sys.modules[{package_name!r}] = None\n"
        "import compat; compat.install(torchvision=False)\n"
        "from aitoolbox.experiment import local_experiment_saver as savers\n"
        "class Model(dict):\n    def save(self, path): pass\n"
        "keys = ('model_state_dict', 'optimizer_state_dict', 'epoch', 'hyperparams')\n"
        f"saver = savers.Full{kind}ExperimentLocalSaver('p', 'e', {str(tmp_path)!r})\n"
        "try:\n    saver.save_experiment(Model.fromkeys(keys), None, None, '1')\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert f'pip install "analogjax[{package_name}]"' in done.stdout, done.stdout + done.stderr


def test_importing_a_saver_imports_no_framework():
    program = (
        "import sys, compat; compat.install(torchvision=False)\n"
        "import aitoolbox.experiment.local_experiment_saver, aitoolbox.experiment.experiment_saver\n"
        "print(*{'torch', 'keras', 'boto3', 's3fs', 'gcsfs', 'matplotlib', 'pandas', 'sklearn', 'tensorflow'}"
        " & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout.strip() == "" and done.returncode == 0, done.stdout + done.stderr
