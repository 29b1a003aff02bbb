"""Model and results of one stamp are of one save, or are said not to be; checkpoints are listed and found again."""

import json

import numpy as np
import pytest
import torch
from aitoolbox.experiment.experiment_saver import (
    FullFlaxExperimentGoogleStorageSaver,
    FullFlaxExperimentS3Saver,
    FullPyTorchExperimentGoogleStorageSaver,
    FullPyTorchExperimentS3Saver,
)
from aitoolbox.experiment.local_experiment_saver import FullFlaxExperimentLocalSaver, FullPyTorchExperimentLocalSaver

from compat.aitoolbox.experiment.local_save.local_results_save import BaseLocalResultsSaver
from compat.aitoolbox.store import one_save
from compat.aitoolbox.store.bucket_folder import BucketFolder
from compat.aitoolbox.store.checksums import Version
from compat.aitoolbox.store.errors import DamagedFile, MixedSaves, NoSuchExperiment

FLAX = {
    "disk": FullFlaxExperimentLocalSaver,
    "s3": FullFlaxExperimentS3Saver,
    "gs": FullFlaxExperimentGoogleStorageSaver,
}
TORCH = {
    "disk": FullPyTorchExperimentLocalSaver,
    "s3": FullPyTorchExperimentS3Saver,
    "gs": FullPyTorchExperimentGoogleStorageSaver,
}


class Died(BaseException):
    """A process that ends at this point."""


@pytest.fixture(params=["disk", "s3", "gs"])
def make(request, tmp_path):
    """A function that makes savers for one place, each with a root of its own if it is asked for."""
    if request.param == "disk":
        return lambda kinds=FLAX, root="here", **more: kinds["disk"]("p", "e", str(tmp_path / "here"), **more)
    server = request.getfixturevalue({"s3": "s3_server", "gs": "gcs_server"}[request.param])
    bucket = server.bucket()

    def made(kinds=FLAX, root="here", **more):
        return kinds[request.param](
            "p", "e", bucket, "lead", str(tmp_path / root), storage_options=server.options, **more
        )

    return made


@pytest.fixture
def cut(monkeypatch):
    """A function that lets the next save end before the results number `after` are written."""

    def cut(after):
        write, written = BaseLocalResultsSaver._write, []

        def stopping(self, content, name, path):
            if len(written) == after:
                monkeypatch.setattr(BaseLocalResultsSaver, "_write", write)
                raise Died
            written.append(name)
            return write(self, content, name, path)

        monkeypatch.setattr(BaseLocalResultsSaver, "_write", stopping)

    return cut


def save(saver, package, number, stamp="1", **options):
    return saver.save_experiment({"n": number}, package({"n": number}), None, stamp, **options)


@pytest.mark.parametrize("separate_files", [False, True])
def test_the_model_of_a_save_that_was_cut_off_has_no_results(make, package, cut, separate_files):
    saver = make()
    save(saver, package, 1, separate_files=separate_files)
    cut(0)
    with pytest.raises(Died):
        save(saver, package, 2, separate_files=separate_files)
    [listed] = make().list_experiments()
    assert not listed.complete and "the model is of the save of" in listed.mixed
    for stamp in (None, "1"):
        with pytest.raises(
            MixedSaves, match=r"p/e_1: the model is of the save of .*, the results are of .*with_model=False"
        ):
            make(root="elsewhere").load_experiment(experiment_timestamp=stamp)
    assert make().load_experiment(with_results=False).model == {"n": 2}
    assert make().load_experiment(with_model=False).results == {"n": 1}
    save(saver, package, 3, separate_files=separate_files)
    assert make().list_experiments()[0].complete
    loaded = make().load_experiment()
    assert (loaded.model, loaded.results) == ({"n": 3}, {"n": 3})


def test_another_save_that_is_complete_comes_first(make, package, cut):
    saver = make()
    save(saver, package, 1, "2024-01-01_00-00-00")
    save(saver, package, 2, "2024-01-02_00-00-00")
    cut(0)
    with pytest.raises(Died):
        save(saver, package, 3, "2024-01-02_00-00-00")
    assert [one.complete for one in saver.list_experiments()] == [True, False]
    assert saver.load_experiment().results == {"n": 1}
    assert saver.load_experiment(with_model=False).results == {"n": 2}


def test_the_files_of_results_are_of_one_save_too(tmp_path, package, cut):
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path))
    save(saver, package, 1, separate_files=True, save_true_pred_labels=True)
    cut(1)
    with pytest.raises(Died):
        save(saver, package, 2, separate_files=True)
    assert "the files of results are of the saves of" in saver.list_experiments()[0].mixed
    with pytest.raises(DamagedFile, match="the files of results are of the saves of"):
        saver.load_experiment(with_model=False)
    save(saver, package, 3, separate_files=True)
    loaded = saver.load_experiment()
    assert loaded.results == {"n": 3} and loaded.y_true is None  # the labels that are there are of the first save
    assert len(loaded.paths) == 4


def test_a_first_save_that_was_cut_off_among_its_results(tmp_path, package, cut):
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path))
    cut(2)
    with pytest.raises(Died):
        save(saver, package, 1, separate_files=True)
    [listed] = saver.list_experiments()
    assert not listed.complete and listed.mixed == "the results lack results/train_history_e_1.p"


@pytest.mark.parametrize("make", ["s3", "gs"], indirect=True)
def test_a_bucket_whose_upload_was_cut_off(make, package, monkeypatch):
    saver = make()
    save(saver, package, 1)
    upload = BucketFolder.upload

    def stopping(self, files):
        if any(name.startswith("results/") for _, name in files):
            raise Died
        upload(self, files)

    monkeypatch.setattr(BucketFolder, "upload", stopping)
    with pytest.raises(Died):
        save(saver, package, 2)
    [listed] = make().list_experiments()
    assert not listed.complete
    with pytest.raises(MixedSaves, match="the model is of the save of"):
        make().load_experiment()
    local = FullFlaxExperimentLocalSaver("p", "e", saver._root())
    assert local.load_experiment().results == {"n": 2}  # here all of it had been written


def test_a_model_that_is_saved_alone_later_has_no_results(tmp_path, package):
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path))
    save(saver, package, 1)
    saver.model_saver.save_model({"n": 2}, "p", "e", "1")
    assert not saver.list_experiments()[0].complete
    with pytest.raises(MixedSaves):
        saver.load_experiment()


def test_results_that_are_saved_alone_later_are_an_evaluation(tmp_path, package):
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path))
    save(saver, package, 1)
    saver.results_saver.save_experiment_results(package({"n": 1.5}), None, "p", "e", "1")
    assert saver.list_experiments()[0].complete
    loaded = saver.load_experiment()
    assert (loaded.model, loaded.results) == ({"n": 1}, {"n": 1.5})


def test_what_was_saved_by_two_savers_or_before_there_were_numbers_is_complete(tmp_path, package):
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path))
    saver.model_saver.save_model({"n": 1}, "p", "e", "1")
    saver.results_saver.save_experiment_results(package({"n": 1}), None, "p", "e", "1")
    assert saver.load_experiment().results == {"n": 1} and saver.list_experiments()[0].complete
    save(saver, package, 2)
    path = tmp_path / "p/e_1/.checksums.json"
    table = json.loads(path.read_text())
    for lines in table["files"].values():
        del lines[0]["save"]
    path.write_text(json.dumps(table))
    assert saver.load_experiment().results == {"n": 2} and saver.list_experiments()[0].complete


def test_which_content_a_file_has():
    old, new = Version(3, "a", save="1"), Version(3, "b", save="2", pending=True)
    assert one_save.present([old], 3, None) is old
    assert one_save.present([old, new], 3, lambda: "b") is new
    assert one_save.present([old, new], 3, None) is None
    assert one_save.present([old, Version(4, "b", save="2")], 4, None).save == "2"
    assert one_save.present([old, new], 3, lambda: "c") is None
    assert one_save.present([], 3, None) is None


def checkpoints(saver):
    inner = getattr(saver.model_saver, "local_saver", saver.model_saver)
    saver.model_saver.checkpoint_model = inner.checkpoint_model = True
    return saver.model_saver


def test_checkpoints_are_listed_and_the_newest_is_loaded(make, package):
    saver = checkpoints(make())
    for epoch, iteration in [(1, None), (2, 5), (2, None), (10, None)]:
        saver.save_model({"at": [epoch, iteration]}, "p", "e", "2024-01-01_00-00-00", epoch, iteration)
    other = make(root="another machine")
    [listed] = other.list_experiments()
    assert [(one.epoch_num, one.iteration_idx) for one in listed.checkpoints] == [
        (1, None),
        (2, 5),
        (2, None),
        (10, None),
    ]
    assert not listed.complete and not listed.mixed
    loaded = other.load_experiment(epoch_num="newest")
    assert loaded.model == {"at": [10, None]} and loaded.results is None
    assert (loaded.epoch_num, loaded.iteration_idx) == (10, None)
    saver.save_model({"at": "again"}, "p", "e", "2024-01-01_00-00-00", 2, 5)  # a training that went back
    assert other.load_experiment(epoch_num="newest").iteration_idx == 5
    loaded = other.load_experiment(model_save_dir="checkpoint_model", epoch_num=1, with_results=False)
    assert loaded.model == {"at": [1, None]} and loaded.epoch_num == 1
    make().results_saver.save_experiment_results(package({"n": 1}), None, "p", "e", "2024-01-01_00-00-00")
    assert other.load_experiment(epoch_num="newest").results == {"n": 1}


def test_a_checkpoint_that_is_missing_names_those_that_are_there(make):
    saver = checkpoints(make())
    for epoch in (1, 2, 3):
        saver.save_model({"at": epoch}, "p", "e", "1", epoch)
    there = (
        r"checkpoint_model/model_e_1_E1\.npz, checkpoint_model/model_e_1_E2\.npz, checkpoint_model/model_e_1_E3\.npz"
    )
    for options in ({"model_save_dir": "checkpoint_model"}, {"model_save_dir": "checkpoint_model", "epoch_num": 7}):
        with pytest.raises(NoSuchExperiment, match=r"p/e_1 has no model checkpoint_model/model_e_1.*It has: " + there):
            make(root="elsewhere").load_experiment(experiment_timestamp="1", with_results=False, **options)
    with pytest.raises(
        NoSuchExperiment, match=r"has no results results/results_hyperParams_hist_e_1\.p .*It has: " + there
    ):
        make().load_experiment(experiment_timestamp="1", model_save_dir="checkpoint_model", epoch_num=1)
    with pytest.raises(NoSuchExperiment, match=r"1 has checkpoints of epochs 1, 2, 3: epoch_num='newest'"):
        make().load_experiment()
    with pytest.raises(NoSuchExperiment, match=r"no checkpoint of a PyTorch.*model_e_1_E3\.npz"):
        make(TORCH).load_experiment(epoch_num="newest")
    with pytest.raises(ValueError, match="both as numbers"):
        make().load_experiment(epoch_num="newest", iteration_idx=1)


def test_without_checkpoints_it_is_said(make, package):
    save(make(), package, 1)
    with pytest.raises(NoSuchExperiment, match="no experiment 'e' with checkpoints"):
        make().load_experiment(epoch_num="newest")
    with pytest.raises(NoSuchExperiment, match=r"has no checkpoint of a Flax.*it has: none"):
        make().load_experiment(experiment_timestamp="1", epoch_num="newest")


def test_a_training_goes_on_from_the_newest_checkpoint_bit_for_bit(make):
    def train(state, epochs, saver=None):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        adam = torch.optim.Adam(model.parameters(), 0.1)
        if state is not None:
            model.load_state_dict(state["model_state_dict"])
            adam.load_state_dict(state["optimizer_state_dict"])
        x = torch.arange(12.0).reshape(4, 3)
        for epoch in epochs:
            adam.zero_grad()
            (model(x) ** 2).mean().backward()
            adam.step()
            made = {
                "model_state_dict": model.state_dict(), "optimizer_state_dict": adam.state_dict(), "epoch": epoch,
                "hyperparams": {},
            }  # fmt: skip
            if saver is not None:
                saver.save_model(made, "p", "e", "1", epoch)
        return model.weight.detach().numpy()

    train(None, range(3), checkpoints(make(TORCH)))
    loaded = make(TORCH, root="elsewhere").load_experiment(epoch_num="newest")
    assert loaded.epoch_num == 2 and loaded.experiment_timestamp == "1"
    np.testing.assert_array_equal(train(loaded.model, range(3, 5)), train(None, range(5)))


def test_an_option_of_another_kind_of_model_is_refused(make, package):
    save(make(), package, 1)
    for option in ({"map_location": "cpu"}, {"custom_objects": {}}, {"compile": False}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} is not an option of models that Flax"):
            make().load_experiment(**option)


def test_saves_are_told_apart_without_loading_them(make, package):
    for number, lr in [(1, 0.1), (2, 0.01)]:
        results = {"accuracy": np.float32(number / 2), "by": {"class": {"a": number}, "name": "x"}, "curve": [1, 2]}
        hyperparameters = {"lr": lr, "name": "net", "layers": [3, 4], "none": None}
        made = package(results, hyperparameters)
        make().save_experiment({"n": number}, made, None, f"2024-01-0{number}_00-00-00", separate_files=number == 2)
    best = max(make(root="elsewhere").list_experiments(), key=lambda one: one.results["accuracy"])
    assert best.results == {"accuracy": 1.0, "by/class/a": 2}
    assert best.hyperparameters == {"lr": 0.01, "name": "net", "none": None}
    assert best.provenance["packages"]["jax"] and best.provenance["command"]
    assert len({*make().list_experiments()}) == 2  # they are still hashable


def test_what_is_noted_is_of_the_newest_results_only(tmp_path, package):
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path))
    save(saver, package, 1)
    save(saver, package, 2)
    assert saver.list_experiments()[0].results == {"n": 2}
    saver.results_saver.save_experiment_results(package({"n": 3}), None, "p", "e", "1")
    saver.model_saver.save_model({"n": 4}, "p", "e", "2")
    one, other = saver.list_experiments()
    assert one.results == {"n": 3} and (other.results, other.provenance) == ({}, {})
    table = json.loads((tmp_path / "p/e_1/.checksums.json").read_text())
    assert len(table["saves"]) == 2  # of the model and of the results; what no file is of is forgotten
