"""Bad names, bad places, full disks and kills: a clear error each, and what was saved before is whole."""

import json
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from aitoolbox.experiment.local_experiment_saver import FullFlaxExperimentLocalSaver, FullPyTorchExperimentLocalSaver
from aitoolbox.experiment.local_save.folder_create import ExperimentFolder
from aitoolbox.experiment.local_save.local_model_save import LocalSubOptimalModelRemover, PyTorchLocalModelSaver
from aitoolbox.experiment.local_save.local_results_save import BaseLocalResultsSaver

from analogjax.errors import AnalogError
from compat.aitoolbox.store import names
from compat.aitoolbox.store.errors import BadName, MixedSaves, SaveError
from compat.aitoolbox.store.folder import Folder

ROOT = Path(__file__).parents[3]
MODEL = {"w": [1.0]}


def save(root, project="p", name="e", stamp="1", package=None, epoch=1):
    saver = FullFlaxExperimentLocalSaver(project, name, str(root))
    return saver.save_experiment({"epoch": epoch}, package, None, stamp)


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def drafts(root):
    return [name for name in files(root) if ".staging" in name or ".part-" in name]


@pytest.mark.parametrize(
    ("project", "name", "stamp"),
    [
        ("../up", "e", "1"), ("..", "e", "1"), (".", "e", "1"), ("", "e", "1"), ("a/b", "e", "1"), ("/abs", "e", "1"),
        ("p", "../../up", "1"), ("p", "a/b", "1"), ("p", "e", "../x"), ("p", "e", "a/b"), ("p", "e\0", "1"),
        ("p" * 300, "e", "1"), ("p", "e" * 300, "1"), ("p", "e", "1" * 300), ("p", "e" * 240, "1"),
        ("p", "🚀" * 80, "1"), ("p", "\ud800", "1"),
    ],
)  # fmt: skip
def test_names_that_are_not_one_folder(tmp_path, package, project, name, stamp):
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(BadName, match="name") as caught:
        save(root, project, name, stamp, package())
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, AnalogError)
    with pytest.raises(BadName):
        ExperimentFolder.create_base_folder(project, name * 30 if len(name) > 99 else name, stamp, str(root))
    assert [file for file in tmp_path.rglob("*") if file.is_file() and ".checksums" not in file.name] == []
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


@pytest.mark.parametrize("name", ["🚀 rocket", "déjà vu", "a b", "...", "-x", "e" * 200, "100%"])
def test_unusual_names_that_are(tmp_path, package, name):
    paths = save(tmp_path, name, name, "1", package())
    assert all(os.path.exists(path) for path in paths)
    saver = FullFlaxExperimentLocalSaver(name, name, str(tmp_path))
    assert saver.load_experiment().results == {"accuracy": 0.5}


def test_loading_stays_inside_the_root_too(tmp_path, package):
    save(tmp_path, package=package())
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path / "p"))
    for project in ("..", "../p", ".", "/"):
        with pytest.raises(BadName):
            saver.load_experiment(project)
    with pytest.raises(BadName, match="model_save_dir"):
        FullFlaxExperimentLocalSaver("p", "e", str(tmp_path)).load_experiment(model_save_dir="../../x")


def test_names_of_another_type(tmp_path, package):
    with pytest.raises(TypeError, match="experiment_timestamp is a int"):
        save(tmp_path, stamp=12, package=package())


def test_path_functions_only_join():
    paths = BaseLocalResultsSaver.get_experiment_local_results_folder_paths("/abs", "e", "1", "/root")
    assert paths == ("/abs", "/abs/e_1", "/abs/e_1/results")
    home = os.path.expanduser("~")
    assert ExperimentFolder.get_base_folder_paths("p", "e", "1", "~/x") == (f"{home}/x/p", f"{home}/x/p/e_1")


@pytest.mark.parametrize("blocker", ["p", "p/e_1", "p/e_1/model", "p/e_1/results"])
def test_a_file_where_a_folder_should_be(tmp_path, package, blocker):
    (tmp_path / blocker).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocker).write_text("mine")
    with pytest.raises(SaveError, match=r"file.*move the file away") as caught:
        save(tmp_path, package=package())
    assert isinstance(caught.value, OSError) and (tmp_path / blocker).read_text() == "mine"


def test_a_file_where_the_root_should_be(tmp_path, package):
    (tmp_path / "root").write_text("mine")
    for stamp in ("1", None):
        with pytest.raises(SaveError, match="move the file away"):
            save(tmp_path / "root", stamp=stamp, package=package())


def test_a_folder_where_the_file_should_be(tmp_path, package):
    (tmp_path / "p/e_1/model/model_e_1.npz").mkdir(parents=True)
    with pytest.raises(SaveError, match=r"model_e_1\.npz could not be saved.*folder stands"):
        save(tmp_path, package=package())
    table = json.loads((tmp_path / "p/e_1/.checksums.json").read_text())
    assert table["files"] == {} and not drafts(tmp_path)


def test_a_full_disk_leaves_the_old_save(tmp_path):
    """The limit on the size of files makes the kernel refuse writes half-way, as a full disk does."""
    program = f"""
        import resource, signal, sys
        import numpy as np, torch
        import compat; compat.install(torchvision=False)
        from aitoolbox.experiment.local_save.local_model_save import FlaxLocalModelSaver, PyTorchLocalModelSaver
        from aitoolbox.experiment.local_save.local_results_save import LocalResultsSaver
        from aitoolbox.experiment.result_package.abstract_result_packages import PreCalculatedResultPackage
        from analogjax.errors import AnalogError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        def save(kind, size):
            if kind == "torch":
                empty = {{"optimizer_state_dict": None, "epoch": 1, "hyperparams": {{}}}}
                model = {{"model_state_dict": {{"w": torch.ones(size)}}, **empty}}
                return PyTorchLocalModelSaver({str(tmp_path)!r}).save_model(model, "p", "e", "1")[1]
            if kind == "flax":
                return FlaxLocalModelSaver({str(tmp_path)!r}).save_model({{"w": np.ones(size)}}, "p", "e", "1")[1]
            package = PreCalculatedResultPackage({{"a": list(map(float, range(size)))}})
            return LocalResultsSaver({str(tmp_path)!r}).save_experiment_results(package, None, "p", "e", "1")[0][1]
        for kind in ("torch", "flax", "results"):
            path = save(kind, 10)
            good = open(path, "rb").read()
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
            try:
                save(kind, 1_000_000)
                sys.exit(kind + " did not fail")
            except AnalogError as error:
                assert isinstance(error, OSError) and "free some space" in str(error) or "limit" in str(error), error
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert open(path, "rb").read() == good, kind
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not drafts(tmp_path)
    Folder(tmp_path / "p/e_1").verify()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path, package):
    (tmp_path / "p").mkdir()
    (tmp_path / "p").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(SaveError, match="No permission"):
        save(tmp_path, package=package())


def test_a_defaulted_stamp_may_share_a_folder_if_asked(tmp_path, checkpoint, monkeypatch):
    monkeypatch.setattr(names.time, "time", lambda: 1e9)
    saver = PyTorchLocalModelSaver(str(tmp_path))
    first = saver.save_model(checkpoint(), "p", "e")
    assert saver.save_model(checkpoint(), "p", "e", protect_existing_folder=False) == first
    assert saver.save_model(checkpoint(), "p", "e") != first
    assert len(list((tmp_path / "p").iterdir())) == 2


def test_iteration_without_epoch_is_the_final_name(tmp_path, checkpoint):
    saver = PyTorchLocalModelSaver(str(tmp_path))
    assert saver.save_model(checkpoint(), "p", "e", "1", iteration_idx=5)[0] == "model_e_1.pth"
    assert saver.save_model(checkpoint(), "p", "e", "1", 2, 5)[0] == "model_e_1_E2_ITER5.pth"


@pytest.mark.parametrize(
    ("metric", "small_is_good"),
    [("loss", True), ("my_loss", True), ("val_mse", True), ("perplexity", True), ("WER", True), ("error", True),
     ("acc", False), ("wersatile", False), ("roogue", False)],
)  # fmt: skip
def test_which_metrics_are_better_small(metric, small_is_good):
    assert LocalSubOptimalModelRemover(metric).decrease_metric is small_is_good
    assert LocalSubOptimalModelRemover(metric, mode="max").decrease_metric is False


def test_removed_models_are_forgotten_and_nan_is_worst(tmp_path, checkpoint):
    saver = PyTorchLocalModelSaver(str(tmp_path), checkpoint_model=True)
    remover, history = LocalSubOptimalModelRemover("loss", 2), {"loss": []}
    paths = []
    for epoch, loss in enumerate([3.0, float("nan"), 2.0, 5.0]):
        paths.append(saver.save_model(checkpoint(), "p", "e", "1", epoch)[1])
        history["loss"].append(loss)
        if epoch == 3:
            os.unlink(paths[3])
        remover.decide_if_remove_suboptimal_model(history, [paths[-1]])
    assert [os.path.exists(path) for path in paths] == [True, False, True, False]
    Folder(tmp_path / "p/e_1").verify()
    with pytest.raises(ValueError, match="'min' or 'max'"):
        LocalSubOptimalModelRemover("loss", mode="least")


WRITER = """
import sys
import numpy as np
import compat; compat.install(torchvision=False)
from aitoolbox.experiment.local_experiment_saver import FullFlaxExperimentLocalSaver
from aitoolbox.experiment.result_package.abstract_result_packages import PreCalculatedResultPackage
saver = FullFlaxExperimentLocalSaver("p", "e", sys.argv[1])
number = int(sys.argv[2])
while True:
    number += 1
    package = PreCalculatedResultPackage({"number": number, "ballast": list(range(2000))})
    saver.save_experiment({"number": number, "w": np.full(20_000, number)}, package, None, "1")
    print(number, flush=True)
"""


def kill_and_look(root, rounds, seed):
    saver, chance, number = FullFlaxExperimentLocalSaver("p", "e", str(root)), random.Random(seed), 0
    for _ in range(rounds):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        finished = int(writer.stdout.readline())
        time.sleep(chance.uniform(0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        finished = max([finished, *map(int, writer.stdout.read().split())])
        writer.wait()
        writer.stdout.close()
        model = saver.load_experiment(with_results=False).model  # verifies every file
        results = saver.load_experiment(with_model=False).results
        assert (model["w"] == model["number"]).all()
        assert finished <= results["number"] <= model["number"] <= finished + 1
        [listed] = saver.list_experiments()
        assert listed.complete == (model["number"] == results["number"])
        if listed.complete:
            assert saver.load_experiment().results == results
        else:
            with pytest.raises(MixedSaves, match="the model is of the save of"):
                saver.load_experiment()
        number = finished + 1
    save(root, package=None or _package())
    assert not drafts(root)


def _package():
    from aitoolbox.experiment.result_package.abstract_result_packages import PreCalculatedResultPackage

    return PreCalculatedResultPackage({})


def test_what_killed_writers_of_any_version_left_is_swept(tmp_path, package):
    save(tmp_path, package=package())
    folder = tmp_path / "p/e_1"
    (folder / ".staging-table").write_text("half a table")
    (folder / ".part-table").write_text("half a table")
    (folder / ".staging-model").mkdir()
    (folder / ".staging-model/model_e_1.npz").write_text("half a model")
    (folder / ".staging-owned/content").mkdir(parents=True)
    (folder / ".staging-owned/OWNER").write_text("pid 1")
    save(tmp_path, package=package())
    assert not drafts(tmp_path)


def test_what_a_killed_deletion_left_goes_with_the_next_one(tmp_path, package):
    for stamp in ("1", "2"):
        save(tmp_path, package=package(), stamp=stamp)
    (tmp_path / "p/e_1").rename(tmp_path / "p/.trash-killed")
    Folder(tmp_path / "p/e_2").delete()
    assert list((tmp_path / "p").iterdir()) == []
    with pytest.raises(SaveError, match="e_2"):
        Folder(tmp_path / "p/e_2").delete()


def test_the_draft_of_a_living_writer_is_not_swept(tmp_path, package):
    Folder.made("p", "e", "1", str(tmp_path))

    def slowly(draft):
        draft.write_text("half")
        save(tmp_path, package=package())  # another process saves meanwhile
        draft.write_text("whole")

    assert Folder(tmp_path / "p/e_1").write("model/mine.txt", slowly).read_text() == "whole"


def test_a_killed_save_leaves_whole_files(tmp_path):
    kill_and_look(tmp_path, 3, seed=0)


@pytest.mark.parametrize(
    "rounds", [pytest.param(10, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.storm)]
)
def test_many_killed_saves_leave_whole_files(tmp_path, rounds):
    kill_and_look(tmp_path, rounds, seed=1)


def test_reading_while_another_process_saves(tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        writer.stdout.readline()
        saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path))
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert saver.load_experiment(with_model=False).results["number"] > 0
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
