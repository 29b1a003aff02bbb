"""What is saved can be loaded, in checkpoints and in results of both formats; or nothing at all is written."""

import argparse
import collections
import dataclasses
import enum
import os
import pickle
import re
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path, PosixPath

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from aitoolbox.experiment.local_experiment_saver import (
    FullFlaxExperimentLocalSaver,
    FullPyTorchExperimentLocalSaver,
)
from aitoolbox.experiment.local_save.local_results_save import LocalResultsSaver

from compat.aitoolbox.store import pickles, torch_file
from compat.aitoolbox.store.errors import NotData, UnsafeFile

ROOT = Path(__file__).parents[3]


class Mode(enum.Enum):
    FAST = "fast"
    EXACT = "exact"


class Bits(enum.Flag):
    SIGN = 1
    ROUND = 2


@dataclasses.dataclass
class Settings:
    lr: float
    mode: Mode


class Schedule:
    def __repr__(self):
        return "a schedule"


class Marked(np.ndarray):
    pass


class Key:
    def __init__(self, value):
        self.value = value

    def __str__(self):
        return str(int(self.value))


def activation(x):
    return x


# the value, what a pickle gives back, JSON, and a checkpoint; a string that starts with "warns:" goes with a warning
CASES = {
    "torch dtype": (torch.bfloat16, torch.bfloat16, "torch.bfloat16", torch.bfloat16),
    "dtypes inside": ([(torch.int8, {"a": torch.float64})],) * 2
    + ([["torch.int8", {"a": "torch.float64"}]], [(torch.int8, {"a": torch.float64})]),
    "device": (torch.device("cpu"), torch.device("cpu"), "cpu", torch.device("cpu")),
    "member": (Mode.FAST, Mode.FAST, "fast", "fast"),
    "members inside": ({"a": (Mode.EXACT,)}, {"a": (Mode.EXACT,)}, {"a": ["exact"]}, {"a": ("exact",)}),
    "member in a set": ({Mode.FAST}, {Mode.FAST}, ["fast"], {"fast"}),
    "flags": (Bits.SIGN | Bits.ROUND, Bits.SIGN | Bits.ROUND, 3, 3),
    "class": (torch.nn.Linear, *("warns:torch.nn.modules.linear.Linear",) * 3),
    "own class": (Schedule, *(f"warns:{__name__}.Schedule",) * 3),
    "function": (activation, *(f"warns:{__name__}.activation",) * 3),
    "function of JAX": (jnp.tanh, *("warns:jax.numpy.tanh",) * 3),
    "function of torch": (torch.nn.functional.relu, *("warns:torch.nn.functional.relu",) * 3),
    "class in a list": ([dict, Schedule], "warns:", "warns:", "warns:"),
    "settings": (Settings(0.1, Mode.FAST), {"lr": 0.1, "mode": Mode.FAST}, *({"lr": 0.1, "mode": "fast"},) * 2),
    "namespace": (argparse.Namespace(a=1), argparse.Namespace(a=1), {"a": 1}, {"a": 1}),
    "simple namespace": (types.SimpleNamespace(a=(1,)), {"a": (1,)}, {"a": [1]}, {"a": (1,)}),
    "NumPy dtype": (np.dtype("int8"), np.dtype("int8"), "int8", "warns:int8"),
    "JAX dtype": (jnp.bfloat16, jnp.bfloat16, "warns:jax.numpy.bfloat16", "warns:jax.numpy.bfloat16"),
    "JAX array inside": (collections.OrderedDict(a=jnp.arange(2)), "any", {"a": [0, 1]}, {"a": [0, 1]}),
    "own kind of array": (np.arange(2).view(Marked), "any", [0, 1], [0, 1]),
    "factory": (collections.defaultdict(lambda: 0, a=1), {"a": 1}, {"a": 1}, {"a": 1}),
    "object": (Schedule(), "warns:a schedule", TypeError, "warns:a schedule"),
    "complex": (1 + 2j, 1 + 2j, TypeError, 1 + 2j),
}


def checkpoint_of(value):
    layer = torch.nn.Linear(1, 1)
    hyperparams = {"it": value}
    return {
        "model_state_dict": layer.state_dict(),
        "optimizer_state_dict": None,
        "epoch": 1,
        "hyperparams": hyperparams,
    }


def assert_is(found, wanted):
    if isinstance(wanted, str) and wanted.startswith("warns:"):
        wanted = wanted.removeprefix("warns:")
        if not wanted:
            return
    if wanted != "any":
        assert found == wanted and type(found) is type(wanted)


@pytest.mark.filterwarnings("ignore:.*text")
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("file_format", ["pickle", "json"])
def test_hyperparameters_of_every_type(tmp_path, package, name, file_format, separate):
    value, pickled, as_json, in_checkpoint = CASES[name]
    wanted = pickled if file_format == "pickle" else as_json
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), file_format=file_format)
    inputs = (checkpoint_of(value), package(hyperparameters={"it": value}), None, "1", False, separate)
    if wanted is TypeError:
        with pytest.raises(TypeError, match=r"\['hyperparameters'\]\['it'\]"):
            saver.save_experiment(*inputs)
        assert not list(tmp_path.iterdir())
        return
    if "warns:" in str(wanted) or "warns:" in str(in_checkpoint):
        with pytest.warns(UserWarning, match=r"hyperparam"):
            saver.save_experiment(*inputs)
    else:
        saver.save_experiment(*inputs)
    loaded = saver.load_experiment()
    assert_is(loaded.hyperparameters["it"], wanted)
    assert_is(loaded.model["hyperparams"]["it"], in_checkpoint)


@pytest.mark.parametrize("kind", [FullPyTorchExperimentLocalSaver, FullFlaxExperimentLocalSaver])
@pytest.mark.parametrize("file_format", ["pickle", "json"])
@pytest.mark.parametrize("part", ["hyperparameters", "results", "history", "labels"])
@pytest.mark.parametrize("stamp", ["1", None])
def test_what_cannot_be_saved_leaves_no_file_of_a_model(tmp_path, package, kind, file_format, part, stamp):
    model = checkpoint_of(1) if kind is FullPyTorchExperimentLocalSaver else {"w": np.ones(2)}
    bad = {"deep": [threading.Lock()]}
    made, history = package(), {"loss": [1.0]}
    if part == "history":
        history = {"loss": [bad]}
    elif part == "labels":
        made.y_predicted = [bad, bad]
    else:
        made = package(**{part: {"it": bad}})
    with pytest.raises(TypeError, match=r"lock"):
        kind("p", "e", str(tmp_path), file_format=file_format).save_experiment(model, made, history, stamp, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [lambda: 1, (n for n in ()), threading.Lock()])
@pytest.mark.parametrize("file_format", ["pickle", "json"])
def test_hyperparameters_that_nothing_can_stand_for(tmp_path, package, bad, file_format):
    saver = LocalResultsSaver(str(tmp_path), file_format)
    with pytest.raises(TypeError, match=r"The results\['hyperparameters'\]\['a'\]\[0\] is of type"):
        saver.save_experiment_results(package(hyperparameters={"a": [bad]}), None, "p", "e", "1")
    assert not list(tmp_path.iterdir())


def test_an_object_among_the_results_is_refused(tmp_path, package):
    with pytest.raises(NotData, match=r"The results\['results'\]\['a'\] is of type Schedule.*more than data"):
        LocalResultsSaver(str(tmp_path)).save_experiment_results(package({"a": Schedule()}), None, "p", "e", "1")
    assert not list(tmp_path.iterdir())


def test_a_first_model_that_fails_leaves_no_folder(tmp_path, package):
    model = {**checkpoint_of(1), "hook": lambda: 1}
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    for stamp in ("1", None):
        with pytest.raises(NotData, match="The checkpoint's 'hook' is not saved, as it cannot be pickled"):
            saver.save_experiment(model, package(), None, stamp)
    with pytest.raises(TypeError, match="two keys that are both '1' as text"):
        saver.save_experiment(checkpoint_of({"a": {Key(1): 1, Key(1.0): 2}}), package(), None, "1")
    assert not list(tmp_path.iterdir())


def test_a_first_model_whose_writing_fails_leaves_no_folder_but_what_was_there(tmp_path, package, monkeypatch):
    def fail(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(torch, "save", fail)
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    with pytest.raises(RuntimeError, match="in the middle"):
        saver.save_experiment(checkpoint_of(1), package(), None, "1")
    assert not list((tmp_path / "p").iterdir())
    (tmp_path / "p/e_2").mkdir()
    (tmp_path / "p/e_2/notes.txt").write_text("mine")
    with pytest.raises(RuntimeError, match="in the middle"):
        saver.save_experiment(checkpoint_of(1), package(), None, "2")
    assert (tmp_path / "p/e_2/notes.txt").read_text() == "mine"


def test_a_refusal_leaves_what_was_saved_before(tmp_path, package):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
    saver.save_experiment(checkpoint_of(1), package({"a": 1}), None, "1")
    with pytest.raises(NotData):
        saver.save_experiment(checkpoint_of(2), package({"a": threading.Lock()}), None, "1")
    loaded = saver.load_experiment()
    assert (loaded.results, loaded.model["hyperparams"]) == ({"a": 1}, {"it": 1})


def test_an_unmodified_reader_finds_members_and_classes(tmp_path, package):
    with pytest.warns(UserWarning, match="allow_pickle=True"):
        [[_, path], *_] = LocalResultsSaver(str(tmp_path)).save_experiment_results(
            package(hyperparameters={"mode": Mode.FAST, "class": Schedule}), None, "p", "e", "1"
        )
    with open(path, "rb") as file:
        assert pickle.load(file)["hyperparameters"] == {"mode": Mode.FAST, "class": Schedule}
    assert pickles.read(path, allow_pickle=True)["hyperparameters"]["class"] is Schedule


def path_pickled_by(python: str) -> bytes:
    """The pickle of a path as this version of Python writes it: 3.13 calls the module differently."""
    module = b"pathlib._local" if python == "3.13" else b"pathlib"
    return re.sub(rb"cpathlib(\._local)?\n", b"c" + module + b"\n", pickle.dumps(PosixPath("data/day 2"), 2))


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_paths_are_read_whatever_python_wrote_them(tmp_path, python):
    file = tmp_path / "x.p"
    file.write_bytes(path_pickled_by(python))
    assert pickles.read(file) == PosixPath("data/day 2")


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_paths_in_files_of_torch_are_read_whatever_python_wrote_them(tmp_path, python):
    torch.save({}, tmp_path / "empty.pth")
    file = tmp_path / "x.pth"
    with zipfile.ZipFile(tmp_path / "empty.pth") as saved, zipfile.ZipFile(file, "w") as archive:
        for name in saved.namelist():
            content = path_pickled_by(python) if name.endswith("data.pkl") else saved.read(name)
            archive.writestr(name, content)
    assert torch_file.read(file) == PosixPath("data/day 2")


def test_where_an_enumeration_is_not_imported_its_value_stands_for_it(tmp_path, package):
    program = f"""
        import enum, sys, compat; compat.install(torchvision=False)
        from aitoolbox.experiment.local_save.local_results_save import LocalResultsSaver
        from aitoolbox.experiment.result_package.abstract_result_packages import PreCalculatedResultPackage
        class Elsewhere(enum.Enum):
            A = "a"
        made = PreCalculatedResultPackage({{"mode": Elsewhere.A}})
        print(LocalResultsSaver({str(tmp_path)!r}).save_experiment_results(made, None, "p", "e", "1")[0][1])
    """
    lines = "\n".join(line[8:] for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    with pytest.warns(UserWarning, match=r"__main__\.Elsewhere is not imported"):
        assert pickles.read(done.stdout.split()[-1])["results"] == {"mode": "a"}


@pytest.mark.parametrize("kind", ["enumerations", "names"])
def test_a_note_makes_nothing_run(tmp_path, kind):
    mark, path = tmp_path / "ran", tmp_path / "x.p"

    class Trap:
        def __reduce__(self):
            return Path.touch, (mark,)

    note = f'{{"{kind}": ["{Path.__module__}:Path.touch", "builtins:eval"]}}'.encode()
    path.write_bytes(pickle.dumps(Trap()) + b"\n# analogjax names " + note)
    if kind == "names":
        with pytest.raises(Exception, match="damaged"):
            pickles.read(path)
    else:
        with pytest.warns(UserWarning, match="not imported"):
            assert str(pickles.read(path)) == str(mark)
    assert not mark.exists()
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UnsafeFile):
        pickles.read(path)
