"""Results are written whatever the metrics are, and an old file is whole whatever happens."""

import collections
import datetime
import json
import math
import pickle
import sys
import types
from pathlib import Path

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
import torch
from aitoolbox.experiment import BinaryClassificationResultPackage
from aitoolbox.experiment.local_save.local_results_save import BaseLocalResultsSaver, LocalResultsSaver
from aitoolbox.experiment.result_package.abstract_result_packages import AbstractResultPackage
from aitoolbox.experiment.training_history import TrainingHistory

from compat.aitoolbox.store import pickles
from compat.aitoolbox.store.errors import DamagedFile, UnsafeFile


def save(root, package, history, file_format="pickle", labels=False):
    saver = LocalResultsSaver(str(root), file_format)
    return saver.save_experiment_results(package, history, "p", "e", "1", save_true_pred_labels=labels)


def read(path):
    if path.endswith(".json"):
        return json.loads(Path(path).read_text())
    with open(path, "rb") as file:
        return pickle.load(file)


def names(paths):
    return [Path(name).name for name, _ in paths[1:]]


def test_lists_of_lists_with_the_main_file_first(tmp_path, package, history):
    paths = save(tmp_path, package(), history)
    assert type(paths) is list and all(type(pair) is list for pair in paths)
    folder = tmp_path / "p/e_1/results"
    expected = ["results_hyperParams_hist_e_1.p", "plots/loss.png", "plots/val_loss.png"]
    assert paths == [[name, str(folder / name)] for name in expected]
    assert (folder / "plots/loss.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("values", "plots"),
    [
        ([{"f1": 0.1, "by": {"a": 1}}, {"f1": 0.2, "by": {"a": 2}}], ["m_f1.png", "m_by_a.png"]),
        ([torch.tensor(1.0), torch.tensor(2.0, requires_grad=True)], ["m.png"]),
        ([jnp.float32(1), jnp.float32(2)], ["m.png"]),
        ([np.float32(1), np.array([2])], ["m.png"]),
        ([[1, 2], [3, 4]], ["m.png"]),
        ([None, 1.0, float("nan")], ["m.png"]),
        ([None, None], ["m.png"]),
        ((1, 2), ["m.png"]),
        (np.arange(3), ["m.png"]),
        ([1.0], []),
        (5.0, []),
    ],
)
def test_every_kind_of_metric_is_saved_and_drawn(tmp_path, package, values, plots):
    paths = save(tmp_path, package(), {"m": values})
    assert names(paths) == plots
    assert "m" in read(paths[0][1])["training_history"]
    assert "m" in read(save(tmp_path, package(), {"m": values}, "json")[0][1])["training_history"]


def test_a_metric_that_cannot_be_drawn_costs_only_its_plot(tmp_path, package):
    history = {"loss": [2, 1], "text": ["a", "b"], "ragged": [[1], [1, 2]], "mixed": [{"a": 1}, 2]}
    with pytest.warns(UserWarning) as caught:
        paths = save(tmp_path, package(), history)
    assert [str(one.message).partition(" could")[0] for one in caught] == ["'text'", "'ragged'", "'mixed'"]
    assert names(paths) == ["loss.png"] and read(paths[0][1])["training_history"] == history


def test_any_name_of_a_metric_makes_one_file_in_the_plots_folder(tmp_path, package):
    odd = ["train/loss", "train_loss", "../../up", "$x^2$", "a" * 300, ""]
    paths = save(tmp_path, package(), {name: [1, 2] for name in odd})
    files = [Path(path) for _, path in paths[1:]]
    assert len(set(files)) == len(odd) and all(file.parent == tmp_path / "p/e_1/results/plots" for file in files)
    assert names(paths)[:3] == ["train_loss.png", "train_loss_1.png", ".._.._up.png"]
    assert not (tmp_path / "up.png").exists() and set(read(paths[0][1])["training_history"]) == set(odd)


def test_without_matplotlib_the_results_are_there(tmp_path, package, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(UserWarning, match=r"'loss' could not be plotted: .*pip install"):
        paths = save(tmp_path, package(), {"loss": [2, 1]})
    assert len(paths) == 1 and read(paths[0][1])["results"] == {"accuracy": 0.5}


def test_drawing_changes_nobodys_style(tmp_path, package, history):
    before = dict(matplotlib.rcParams)
    save(tmp_path, package(), history)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("history", [None, {}, {"loss": [1, 2]}, types.SimpleNamespace(history={"loss": [1, 2]})])
def test_plain_histories(tmp_path, package, history):
    stored = read(save(tmp_path, package(), history)[0][1])["training_history"]
    assert stored == (getattr(history, "history", history) or {})


def test_what_is_no_history_is_refused(tmp_path, package):
    with pytest.raises(TypeError, match="TrainingHistory, or a dictionary of lists"):
        save(tmp_path, package(), 3)
    with pytest.raises(ValueError, match="empty"):
        save(tmp_path, package(), TrainingHistory(strict_content_check=True))


def test_missing_hyperparameters_are_no_error(tmp_path):
    class Package(AbstractResultPackage):
        def prepare_results_dict(self):
            return {"a": 1}

    made = Package("mine")
    made.prepare_result_package([1], [1])
    assert read(save(tmp_path, made, None)[0][1])["hyperparameters"] is None
    made.strict_content_check = True
    with pytest.raises(ValueError, match="hyperparameters are missing"):
        save(tmp_path, made, None)


def test_json_holds_numpy_and_its_kin(tmp_path, package):
    results = {
        "scalar": np.float32(0.5), "array": np.arange(4).reshape(2, 2), "tensor": torch.ones(2), "jax": jnp.ones(1),
        "bfloat16": torch.ones(1, dtype=torch.bfloat16), 1: "int key", None: "none", np.int64(2): True,
        "set": {2, 1}, "path": Path("/a"), "date": datetime.date(2024, 1, 2), "tuple": (1, 2), "nan": float("nan"),
        "dict": collections.OrderedDict(a=np.bool_(True)),
    }  # fmt: skip
    stored = read(save(tmp_path, package(results), None, "json")[0][1])["results"]
    assert math.isnan(stored.pop("nan"))
    assert stored == {
        "scalar": 0.5, "array": [[0, 1], [2, 3]], "tensor": [1.0, 1.0], "jax": [1.0], "bfloat16": [1.0],
        "1": "int key", "null": "none", "2": True, "set": [1, 2], "path": "/a", "date": "2024-01-02",
        "tuple": [1, 2], "dict": {"a": True},
    }  # fmt: skip


def test_json_of_a_stock_package_with_labels(tmp_path):
    package = BinaryClassificationResultPackage()
    package.prepare_result_package([0, 1, 1], [0.1, 0.7, 0.4], {"lr": np.float64(0.5)})
    stored = read(save(tmp_path, package, None, "json", labels=True)[0][1])
    assert stored["y_true"] == [0, 1, 1] and stored["hyperparameters"] == {"lr": 0.5}
    assert stored["results"] == pytest.approx(
        {"Accuracy": 2 / 3, "ROC_AUC": 1, "PrecisionRecall_AUC": 1, "F1_score": 2 / 3}
    )


@pytest.mark.parametrize(
    ("file_format", "bad"), [("pickle", lambda: None), ("json", object()), ("json", {1: 1, "1": 2})]
)
def test_a_failed_save_leaves_the_old_results(tmp_path, package, file_format, bad):
    [[_, path]] = save(tmp_path, package({"a": 1}), None, file_format)
    good = Path(path).read_bytes()
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        save(tmp_path, package({"a": bad}), None, file_format)
    assert Path(path).read_bytes() == good
    assert sorted(file.name for file in Path(path).parent.iterdir()) == ["plots", Path(path).name]


def test_what_json_cannot_hold_is_named(tmp_path, package):
    with pytest.raises(TypeError, match=r"The results\['results'\]\['a'\]\[1\] is of type object"):
        save(tmp_path, package({"a": [1, object()]}), None, "json")
    loop = []
    loop.append(loop)
    with pytest.raises(TypeError, match="contains itself"):
        save(tmp_path, package({"a": loop}), None, "json")


def test_files_of_the_package_are_listed_and_need_not_exist(tmp_path, package, history):
    made = package()
    there = tmp_path / "p/e_1/results/more.txt"
    there.parent.mkdir(parents=True)
    there.write_text("more")
    made.list_additional_results_dump_paths = lambda: [["more.txt", str(there)], ["none.txt", "/nowhere/none.txt"]]
    paths = save(tmp_path, made, history)
    assert paths[1:3] == [["more.txt", str(there)], ["none.txt", "/nowhere/none.txt"]] and len(paths) == 5
    assert "results/more.txt" in json.loads((tmp_path / "p/e_1/.checksums.json").read_text())["files"]


def test_save_file_outside_an_experiment(tmp_path):
    saver = BaseLocalResultsSaver(str(tmp_path), "json")
    assert saver.save_file({"a": 1}, "x", str(tmp_path / "x")) == ("x.json", str(tmp_path / "x.json"))
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


class Trap:
    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, "x", None, True, (1,), {2}, b"b", 1j]},
        collections.defaultdict(list, a=[1]),
        collections.Counter("aab"),
        datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
        Path("/a/b"),
        np.float32(1.5),
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.array(["a", "b"]),
        np.array([{"a": 1}, None], dtype=object),
        np.datetime64("2024-01-02"),
        torch.arange(3.0),
        torch.tensor(2.0, requires_grad=True),
    ],
)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickles_of_data_are_read(tmp_path, value, protocol):
    path = tmp_path / "x.p"
    path.write_bytes(pickle.dumps(value, protocol))
    assert str(pickles.read(path)) == str(value)


def test_pickles_of_anything_else_are_not(tmp_path):
    path, mark = tmp_path / "x.p", tmp_path / "ran"
    for bad in (Trap(mark), eval, [types.SimpleNamespace()], {"a": collections.namedtuple}, np.array([Trap(mark)])):
        path.write_bytes(pickle.dumps(bad))
        with pytest.raises(UnsafeFile, match=r"x\.p was not loaded, because it asks for .*allow_pickle=True"):
            pickles.read(path)
    assert not mark.exists()
    path.write_bytes(pickle.dumps(Trap(mark)))
    pickles.read(path, allow_pickle=True)
    assert mark.exists()


def test_a_damaged_pickle_is_said_to_be_one(tmp_path):
    path = tmp_path / "x.p"
    for bad in (b"", b"text", pickle.dumps([1] * 100)[:-50]):
        path.write_bytes(bad)
        with pytest.raises(DamagedFile, match=r"x\.p is damaged"):
            pickles.read(path)
