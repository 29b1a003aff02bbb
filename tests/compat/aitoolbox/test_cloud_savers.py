"""Savers and loaders of buckets against real protocols: moto's S3 and an emulator of Google Storage, on loopback."""

import inspect
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from aitoolbox.cloud.AWS.data_access import BaseDataLoader, BaseDataSaver
from aitoolbox.cloud.AWS.model_load import BaseModelLoader, PyTorchS3ModelLoader
from aitoolbox.cloud.AWS.model_save import BaseModelSaver, PyTorchS3ModelSaver
from aitoolbox.cloud.AWS.results_save import BaseResultsSaver, S3ResultsSaver
from aitoolbox.cloud.GoogleCloud.data_access import BaseGoogleStorageDataLoader, BaseGoogleStorageDataSaver
from aitoolbox.cloud.GoogleCloud.model_load import PyTorchGoogleStorageModelLoader
from aitoolbox.cloud.GoogleCloud.model_save import (
    BaseModelGoogleStorageSaver,
    KerasGoogleStorageModelSaver,
    PyTorchGoogleStorageModelSaver,
)
from aitoolbox.cloud.GoogleCloud.results_save import BaseResultsGoogleStorageSaver, GoogleStorageResultsSaver
from aitoolbox.experiment.experiment_saver import (
    BaseFullExperimentSaver,
    FullFlaxExperimentGoogleStorageSaver,
    FullFlaxExperimentS3Saver,
    FullKerasExperimentGoogleStorageSaver,
    FullKerasExperimentS3Saver,
    FullPyTorchExperimentGoogleStorageSaver,
    FullPyTorchExperimentS3Saver,
)
from aitoolbox.experiment.result_package.abstract_result_packages import PreCalculatedResultPackage
from aitoolbox.experiment.result_reporting.hyperparam_reporter import HyperParamSourceReporter

from analogjax.store import NotFound, StoreError, multipart
from compat.aitoolbox.store import bucket_folder, names
from compat.aitoolbox.store.errors import BadName, DamagedFile, NoSuchExperiment
from tests.store.servers import s3_client

KINDS = {"s3": (FullPyTorchExperimentS3Saver, FullFlaxExperimentS3Saver, PyTorchS3ModelLoader),
         "gs": (FullPyTorchExperimentGoogleStorageSaver, FullFlaxExperimentGoogleStorageSaver,
                PyTorchGoogleStorageModelLoader)}  # fmt: skip


class Cloud:
    """A server with a new bucket, and the savers for it."""

    def __init__(self, server, root):
        self.server, self.root, self.bucket = server, root, server.bucket()
        self.options = {"storage_options": server.options}
        self.torch, self.flax, self.loader = KINDS[server.protocol]

    def saver(self, kind=None, name="e", prefix="lead", root="here", **options):
        kind = kind or self.torch
        return kind("p", name, self.bucket, prefix, str(self.root / root), **self.options, **options)

    @property
    def location(self):
        return self.saver().model_saver.location

    def keys(self):
        return [entry.name for entry in self.location.list() if not entry.name.endswith("checksums.json")]


@pytest.fixture(params=["s3", "gs"])
def cloud(request, tmp_path):
    return Cloud(request.getfixturevalue({"s3": "s3_server", "gs": "gcs_server"}[request.param]), tmp_path)


def test_everything_is_made_offline_and_with_empty_names(tmp_path):
    program = """
        import socket, sys
        def refuse(*_): sys.exit("a connection was made")
        socket.socket.connect = refuse
        import compat; compat.install(torchvision=False)
        from aitoolbox.experiment import experiment_saver as e
        from aitoolbox.cloud.AWS.model_load import PyTorchS3ModelLoader
        from aitoolbox.cloud.GoogleCloud.model_load import PyTorchGoogleStorageModelLoader
        for kind in ("PyTorch", "Keras", "Flax"):
            for place in ("S3", "GoogleStorage"):
                saver = getattr(e, f"Full{kind}Experiment{place}Saver")("p", "e")
                assert saver.model_saver.bucket_name == saver.results_saver.bucket_name == "model-result"
        PyTorchS3ModelLoader("", "", ""), PyTorchGoogleStorageModelLoader("", "", "")
        assert not {"boto3", "s3fs", "gcsfs", "google.cloud.storage"} & set(sys.modules)
    """
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    lines = "\n".join(line[8:] for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], cwd=Path(__file__).parents[3], env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_how_the_classes_are_related():
    saver = FullPyTorchExperimentGoogleStorageSaver("p", "e")
    assert isinstance(saver, BaseFullExperimentSaver) and isinstance(saver.model_saver, PyTorchS3ModelSaver)
    assert type(saver.model_saver) is PyTorchGoogleStorageModelSaver and saver.model_saver.protocol == "gs"
    assert type(saver.results_saver) is GoogleStorageResultsSaver and saver.results_saver.protocol == "gs"
    assert type(FullKerasExperimentGoogleStorageSaver("p", "e").model_saver) is KerasGoogleStorageModelSaver
    assert type(FullPyTorchExperimentS3Saver("p", "e").results_saver) is S3ResultsSaver
    with pytest.raises(TypeError, match="AbstractLocalModelLoader"):
        BaseModelLoader(object())


MODEL_SAVER = ["bucket_name", "cloud_dir_prefix", "local_model_result_folder_path", "checkpoint_model"]
CONSTRUCTORS = {
    PyTorchS3ModelSaver: MODEL_SAVER,
    KerasGoogleStorageModelSaver: MODEL_SAVER,
    PyTorchGoogleStorageModelSaver: MODEL_SAVER,
    BaseModelSaver: ["bucket_name", "cloud_dir_prefix", "checkpoint_model"],
    BaseModelGoogleStorageSaver: ["bucket_name", "cloud_dir_prefix", "checkpoint_model"],
    BaseResultsSaver: ["bucket_name", "cloud_dir_prefix"],
    BaseResultsGoogleStorageSaver: ["bucket_name", "cloud_dir_prefix"],
    GoogleStorageResultsSaver: ["bucket_name", "cloud_dir_prefix", "local_model_result_folder_path"],
    BaseDataSaver: ["bucket_name"],
    BaseGoogleStorageDataLoader: ["bucket_name", "local_dataset_folder_path"],
    PyTorchGoogleStorageModelLoader: ["local_model_result_folder_path", "bucket_name", "cloud_dir_prefix"],
    BaseModelLoader: ["local_model_loader", "local_model_result_folder_path", "bucket_name", "cloud_dir_prefix"],
}


@pytest.mark.parametrize("kind", CONSTRUCTORS, ids=lambda kind: kind.__name__)
def test_constructors_take_what_aitoolboxs_do(kind):
    """Our own options come after these, by keyword alone."""
    given = inspect.signature(kind).parameters.values()
    assert [one.name for one in given if one.kind is not one.KEYWORD_ONLY] == CONSTRUCTORS[kind]
    assert not [one for one in given if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


def test_one_call_uploads_everything(cloud, package, history, checkpoint):
    made, local = cloud.saver(), cloud.root / "here/p/e_12"
    paths = made.save_experiment(checkpoint(), package(), history, "12", True, True)
    assert paths == (
        f"{cloud.bucket}/lead/p/e_12/model/model_e_12.pth",
        f"{cloud.bucket}/lead/p/e_12/results/results_e_12.p",
    )
    kinds = ["results", "hyperparams", "train_history", "true_pred_labels"]
    inside = ["model/model_e_12.pth", *(f"results/{kind}_e_12.p" for kind in kinds)]
    inside += ["results/plots/loss.png", "results/plots/val_loss.png"]
    assert cloud.keys() == sorted(f"lead/p/e_12/{name}" for name in inside)
    assert all((local / name).is_file() for name in inside)
    loaded = cloud.saver(root="elsewhere").load_experiment()
    assert loaded.results == {"accuracy": 0.5} and loaded.y_true == [0, 1] and loaded.model["epoch"] == 1
    assert loaded.paths[:2] == list(paths) and list((cloud.root / "elsewhere").iterdir()) == []


def test_jax_models_and_json(cloud, package, history):
    made = cloud.saver(cloud.flax, prefix="", file_format="json")
    model = {"w": jnp.arange(3, dtype=jnp.bfloat16)}
    paths = made.save_experiment(model, package({"a": np.float32(0.5)}), history)
    assert paths[0].startswith(f"{cloud.bucket}/p/e_2") and paths[0].endswith(".npz") and paths[1].endswith(".json")
    loaded = made.load_experiment(like=model)
    assert loaded.results == {"a": 0.5} and jnp.array_equal(loaded.model["w"], model["w"])


def test_keras_models(s3_server, tmp_path, package):
    keras = pytest.importorskip("keras")
    cloud = Cloud(s3_server, tmp_path)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    made = cloud.saver(FullKerasExperimentS3Saver, model_format="keras")
    with pytest.MonkeyPatch.context():
        import warnings

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            assert made.save_experiment(model, package(), None, "1")[0].endswith("lead/p/e_1/model/model_e_1.keras")
            assert made.load_experiment().model.count_params() == 8


@pytest.mark.parametrize("prefix", ["/lead", "lead/", "/lead/", "a/b", ""])
def test_slashes_around_the_prefix(cloud, package, checkpoint, prefix):
    paths = cloud.saver(prefix=prefix).save_experiment(checkpoint(), package(), None, "1")
    stem = f"{prefix.strip('/')}/" if prefix else ""
    assert paths[0] == f"{cloud.bucket}/{stem}p/e_1/model/model_e_1.pth"
    assert cloud.keys()[0] == f"{stem}p/e_1/model/model_e_1.pth"
    assert len(cloud.saver(prefix=prefix).list_experiments()) == 1


def test_two_machines_never_take_one_stamp(cloud, package, checkpoint, monkeypatch):
    monkeypatch.setattr(names.time, "time", lambda: 1e9)
    first, second = (cloud.saver(root=root) for root in ("one", "two"))
    one = first.save_experiment(checkpoint(), package({"n": 1}), None)
    two = second.save_experiment(checkpoint(), package({"n": 2}), None)
    assert one[0] != two[0]
    assert [first.load_experiment(experiment_timestamp=e.experiment_timestamp).results["n"]
            for e in first.list_experiments("p")] == [1, 2]  # fmt: skip


def test_list_latest_and_retention(cloud, package, checkpoint):
    made = cloud.saver(keep_last=2, keep_last_local=1)
    cloud.location.write("lead/p/e_2000-01-01_00-00-00/model/model_foreign.pth", b"foreign")
    cloud.location.write("lead/notes.txt", b"not an experiment")
    cloud.saver(name="other").save_experiment(checkpoint(), package(), None, "0")
    for day in (2, 1, 3, 4):
        made.save_experiment(checkpoint(), package({"day": day}), None, f"2024-01-0{day}_00-00-00")
    listed = made.list_experiments("p")
    assert [f"{one.experiment_name}_{one.experiment_timestamp[:10]}" for one in listed] == [
        "e_2000-01-01", "e_2024-01-03", "e_2024-01-04", "other_0"]  # fmt: skip
    assert made.load_experiment().results == {"day": 4} and not listed[0].verifiable
    assert sorted(path.name for path in (cloud.root / "here/p").iterdir()) == ["e_2024-01-04_00-00-00", "other_0"]
    with pytest.raises(NoSuchExperiment, match="no project 'q'"):
        made.list_experiments("q")
    with pytest.raises(NoSuchExperiment, match="no experiment 'f'"):
        made.load_experiment(experiment_name="f")


def test_damage_and_loss_in_the_bucket_are_found(cloud, package, checkpoint):
    made = cloud.saver()
    made.save_experiment(checkpoint(), package(), None, "1")
    key = "lead/p/e_1/model/model_e_1.pth"
    good = cloud.location.read(key)
    cloud.location.write(key, good[:300] + bytes([good[300] ^ 1]) + good[301:])
    with pytest.raises(StoreError, match=r"model_e_1\.pth is damaged"):
        made.load_experiment()
    cloud.location.delete(key)
    with pytest.raises(DamagedFile, match=r"model_e_1\.pth was saved and is gone"):
        made.load_experiment(with_model=False)
    made.save_experiment(checkpoint(epoch=5), package(), None, "1")
    assert made.load_experiment().model["epoch"] == 5


def test_without_a_bucket_everything_is_on_the_local_disk(cloud, package, history, checkpoint):
    made = cloud.torch("p", "e", "no-such-bucket", "", str(cloud.root), **cloud.options)
    with pytest.raises(StoreError, match="no-such-bucket") as caught:
        made.save_experiment(checkpoint(), package(), history)
    assert "local disk" in caught.value.__notes__[0]
    [folder] = (cloud.root / "p").iterdir()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.p*"))
    stem = f"{folder.name}"
    assert files == [f"model/model_{stem}.pth", "results/plots/loss.png", "results/plots/val_loss.png",
                     f"results/results_hyperParams_hist_{stem}.p"]  # fmt: skip
    with pytest.raises(StoreError):
        made.list_experiments()


def test_without_credentials_the_message_says_so(s3_server, tmp_path, package, checkpoint):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        made = FullPyTorchExperimentS3Saver("p", "e", s3_server.bucket(), "", str(tmp_path), endpoint_url=s3_server.url)
        with pytest.raises(StoreError, match=r"[Cc]redential"):
            made.save_experiment(checkpoint(), package(), None, "1")
    assert (tmp_path / "p/e_1/model/model_e_1.pth").exists() and (tmp_path / "p/e_1/results").exists()


def test_names_stay_inside(cloud, package, checkpoint):
    for project, name, stamp in [("../up", "e", "1"), ("p", "../../up", "1"), ("p", "e", "1/2"), ("p", "e" * 300, "1")]:
        made = cloud.torch(project, name, cloud.bucket, "lead", str(cloud.root / "root"), **cloud.options)
        with pytest.raises(BadName):
            made.save_experiment(checkpoint(), package(), None, stamp)
    assert cloud.location.list() == [] and not (cloud.root / "root").exists()
    made = cloud.torch("🚀", "é ü", cloud.bucket, "lead", str(cloud.root), **cloud.options)
    made.save_experiment(checkpoint(), package(), None, "1")
    assert made.load_experiment().results == {"accuracy": 0.5}


def test_a_loader_downloads_what_is_not_whole_here(cloud, checkpoint):
    saver = cloud.saver().model_saver
    saver.checkpoint_model = saver.local_saver.checkpoint_model = True
    path, stamp, _ = saver.save_model(checkpoint(epoch=7), "p", "e", "1", 7, 9)
    assert (path, stamp) == (f"{cloud.bucket}/lead/p/e_1/checkpoint_model/model_e_1_E7_ITER9.pth", "1")
    loader = cloud.loader(str(cloud.root / "there"), cloud.bucket, "lead", **cloud.options)
    with pytest.raises(
        NoSuchExperiment, match=r"no model .*model_e_1_E8\.pth.*'checkpoint_model' has: model_e_1_E7_ITER9\.pth"
    ):
        loader.load_model("p", "e", "1", epoch_num=8)
    assert not (cloud.root / "there").exists()
    assert loader.load_model("p", "e", "1", epoch_num=7, iteration_idx=9)["epoch"] == 7
    local = cloud.root / "there/p/e_1/checkpoint_model/model_e_1_E7_ITER9.pth"
    good = local.read_bytes()
    local.write_bytes(good[:100])
    assert loader.load_model("p", "e", "1", epoch_num=7, iteration_idx=9)["epoch"] == 7 and local.read_bytes() == good
    assert loader.init_model(torch.nn.Linear(3, 2)).weight.shape == (2, 3)


def test_a_local_save_that_the_bucket_lacks_is_not_overwritten(cloud, checkpoint):
    saver = cloud.saver().model_saver
    saver.save_model(checkpoint(epoch=1), "p", "e", "1")
    saver.local_saver.save_model(checkpoint(epoch=2), "p", "e", "1")
    loader = cloud.loader(str(cloud.root / "here"), cloud.bucket, "lead", **cloud.options)
    assert loader.load_model("p", "e", "1", "model")["epoch"] == 2


def test_single_files_and_folders(cloud, tmp_path, capsys):
    kinds = {"s3": (BaseDataSaver, BaseDataLoader), "gs": (BaseGoogleStorageDataSaver, BaseGoogleStorageDataLoader)}
    saver, loader = (kind(cloud.bucket, **cloud.options) for kind in kinds[cloud.server.protocol])
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/one.txt").write_text("1")
    (tmp_path / "a/b/two.txt").write_text("2")
    saver.save_folder(str(tmp_path / "a"), "x/")
    saver.save_folder(str(tmp_path / "a"), "")
    assert cloud.keys() == ["b/two.txt", "one.txt", "x/b/two.txt", "x/one.txt"]
    loader.load_file("x/one.txt", str(tmp_path / "copy"))
    saver.save_file(str(tmp_path / "a/b/two.txt"), "x/one.txt")
    loader.load_file("x/one.txt", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "1" and "not downloaded again" in capsys.readouterr().out
    if cloud.server.protocol == "s3":
        loader.load_file("none", str(tmp_path / "none"))
        assert "none" in capsys.readouterr().out
    else:
        with pytest.raises(NotFound):
            loader.load_file("none", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    with pytest.raises(NotADirectoryError):
        saver.save_folder(str(tmp_path / "copy"), "x")


def test_data_folders(tmp_path):
    loader = BaseDataLoader("", str(tmp_path))
    assert not loader.exists_local_data_folder("data") and loader.exists_local_data_folder("data")
    (tmp_path / "data/x").write_text("")
    assert not loader.exists_local_data_folder("data", protect_local_folder=False)
    assert list((tmp_path / "data").iterdir()) == [] and not loader.preproc_dataset_available("squad")


@pytest.mark.parametrize("kind", ["model", "results"])
def test_a_reporter_uploads_beside_the_model(cloud, kind):
    kinds = {
        "s3": (BaseModelSaver, BaseResultsSaver),
        "gs": (BaseModelGoogleStorageSaver, BaseResultsGoogleStorageSaver),
    }
    saver = kinds[cloud.server.protocol][kind == "results"](cloud.bucket, "lead", **cloud.options)
    reporter = HyperParamSourceReporter("p", "e", "1", str(cloud.root))
    path = reporter.save_hyperparams_to_text_file({"lr": 0.1})
    assert reporter.copy_to_cloud_storage(path, saver) == "lead/p/e_1/hyperparams_list.txt"
    assert cloud.location.read("lead/p/e_1/hyperparams_list.txt") == b"lr:\t0.1\n"


def test_the_checksums_agree_with_the_objects(cloud, package, checkpoint):
    import hashlib

    made = cloud.saver()
    made.save_experiment(checkpoint(), package(), {"loss": [1, 2]}, "1")
    files = json.loads(cloud.location.read("lead/p/e_1/checksums.json"))["files"]
    assert [f"lead/p/e_1/{name}" for name in sorted(files)] == cloud.keys()
    for name, [line] in files.items():
        assert hashlib.sha256(cloud.location.read(f"lead/p/e_1/{name}")).hexdigest() == line["sha256"]
        assert not line["pending"]


def test_a_bucket_can_be_looked_at_with_boto3(s3_server, monkeypatch):
    for name, value in [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ]:
        monkeypatch.setenv(name, value)
    saver = BaseDataSaver(s3_server.bucket(), endpoint_url=s3_server.url)
    assert saver.s3_client.list_objects_v2(Bucket=saver.bucket_name)["KeyCount"] == 0
    saver.s3_client.close()


def test_parts_of_a_killed_upload_do_not_stay(s3_server, tmp_path, package, checkpoint, monkeypatch):
    cloud = Cloud(s3_server, tmp_path)
    made = cloud.saver()
    made.save_experiment(checkpoint(), package(), None, "1")

    def killed(*keys):
        with closing(s3_client(s3_server.url)) as client:
            for key in keys:
                client.create_multipart_upload(Bucket=cloud.bucket, Key=f"lead/p/{key}")

    def dangling():
        with closing(s3_client(s3_server.url)) as client:
            uploads = client.list_multipart_uploads(Bucket=cloud.bucket).get("Uploads", [])
            return sorted(one["Key"].removeprefix("lead/p/") for one in uploads)

    killed("e_1/model/model_e_1.pth", "e_1/checkpoint_model/model_e_1_E3.pth", "e_2/model/model_e_2.pth")
    monkeypatch.setattr(bucket_folder, "LONGEST_UPLOAD", 1e10)  # moto says of all uploads that they began in 2010
    made.save_experiment(checkpoint(), package(), None, "1")
    assert dangling() == ["e_2/model/model_e_2.pth"]  # another machine may be at it
    monkeypatch.setattr(bucket_folder, "LONGEST_UPLOAD", 86400.0)
    made.save_experiment(checkpoint(), package(), None, "3")
    assert dangling() == []
    monkeypatch.setattr(multipart, "unfinished", refused)
    assert made.save_experiment(checkpoint(), package(), None, "3")[0].endswith("model_e_3.pth")


def refused(*_):
    raise PermissionError("Access Denied")


def test_content_that_cannot_be_saved_leaves_nothing_in_the_bucket(cloud, package, checkpoint):
    for model, made in [(checkpoint(), package({"a": lambda: 1})), (checkpoint(hook=lambda: 1), package())]:
        for stamp in ("1", None):
            with pytest.raises(TypeError, match=r"cannot be pickled.*nothing was written"):
                cloud.saver().save_experiment(model, made, None, stamp)
    assert cloud.location.list() == [] and not (cloud.root / "here").exists()


def test_an_upload_that_was_cut_off_before_the_model_leaves_the_experiment_as_it_was(cloud, monkeypatch):
    def saved(number):
        made = PreCalculatedResultPackage({"n": number})
        cloud.saver(cloud.flax).save_experiment({"w": np.full(3, number)}, made, None, "1")

    def dies(*_):
        raise KeyboardInterrupt

    saved(1)
    monkeypatch.setattr(bucket_folder, "discard_unfinished", dies)  # the table says already what is to come
    with pytest.raises(KeyboardInterrupt):
        saved(2)
    [listed] = cloud.saver().list_experiments()
    assert not listed.complete and "it is not known which of both contents" in listed.mixed  # both have one size
    for stamp in (None, "1"):
        loaded = cloud.saver(cloud.flax).load_experiment(experiment_timestamp=stamp)
        assert loaded.results == {"n": 1} and loaded.model["w"][0] == 1
