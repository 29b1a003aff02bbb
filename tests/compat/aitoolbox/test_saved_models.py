"""Models come back as they were; what is damaged, foreign or dangerous does not come back at all."""

import argparse
import collections
import datetime
import pickle
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from aitoolbox.experiment.local_load.local_model_load import PyTorchLocalModelLoader
from aitoolbox.experiment.local_save.local_model_save import (
    FlaxLocalModelSaver,
    KerasLocalModelSaver,
    PyTorchLocalModelSaver,
)
from aitoolbox.torchtrain.schedulers.basic import AbstractScheduler

from compat.aitoolbox.store import keras_file
from compat.aitoolbox.store.errors import DamagedFile, NoSuchExperiment, UnsafeFile, WrongModel

keras_noise = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15


class Trap:
    """Leaves a file behind when it is unpickled the careless way."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


class Config:
    """Hyperparameters of somebody's own class."""

    def __str__(self):
        return "a config"


def saved(root, model):
    return PyTorchLocalModelSaver(str(root)).save_model(model, "p", "e", "1")[1]


def test_hyperparameters_load_without_trust(tmp_path, checkpoint):
    hyperparams = {
        "lr": np.float64(0.1), "sizes": np.arange(3), "path": Path("/data"), "when": datetime.date(2024, 1, 2),
        "args": argparse.Namespace(depth=np.int64(3)), "by": collections.defaultdict(list, a=[1]), "kept": (1, {2}),
        "dtype": torch.float16, "function": torch.nn.functional.relu, "jax": jnp.ones(2), 5: True,
    }  # fmt: skip
    with pytest.warns(UserWarning, match=r"hyperparams\['function'\] is of type function"):
        path = saved(tmp_path, checkpoint(hyperparams=hyperparams, epoch=np.int64(3)))
    loaded = torch.load(path, weights_only=True)
    assert loaded["epoch"] == 3 and type(loaded["epoch"]) is int
    assert loaded["hyperparams"] == {
        "lr": 0.1, "sizes": [0, 1, 2], "path": "/data", "when": "2024-01-02", "args": {"depth": 3}, "by": {"a": [1]},
        "kept": (1, {2}), "dtype": torch.float16, "function": "torch.nn.functional.relu", "jax": [1.0, 1.0], 5: True,
    }  # fmt: skip
    assert type(loaded["hyperparams"]["lr"]) is float
    assert type(hyperparams["lr"]) is np.float64  # the caller's are as they were


def test_objects_in_the_hyperparameters_become_text(tmp_path, checkpoint):
    with pytest.warns(UserWarning, match=r"hyperparams\['config'\] is of type Config.*'a config'"):
        path = saved(tmp_path, checkpoint(hyperparams={"config": Config()}))
    assert torch.load(path)["hyperparams"] == {"config": "a config"}


def test_extra_entries_stay_and_arrays_load(tmp_path, checkpoint):
    model = checkpoint(mean=np.arange(3.0), optimizer_state_dict={"param_groups": [{"lr": np.float32(0.5)}]})
    path = saved(tmp_path, model)
    loaded = PyTorchLocalModelLoader(str(tmp_path)).load_model("p", "e", "1", "model")
    assert np.array_equal(loaded["mean"], np.arange(3.0)) and loaded["schedulers_state_dict"] == []
    assert loaded["optimizer_state_dict"]["param_groups"][0]["lr"] == 0.5
    assert set(torch.load(path, weights_only=False)) == set(model)


def test_what_will_need_trust_is_said_when_it_is_saved(tmp_path, checkpoint):
    mark = tmp_path / "ran"
    with pytest.warns(UserWarning, match="weights_only=False"):
        path = saved(tmp_path, checkpoint(callback=Trap(mark)))
    loader = PyTorchLocalModelLoader(str(tmp_path))
    with pytest.raises(UnsafeFile, match="could run a program"):
        loader.load_model("p", "e", "1", "model")
    with pytest.raises(pickle.UnpicklingError):
        loader.load_model_from_path(path)
    assert not mark.exists() and loader.model_representation is None
    loader.load_model_from_path(path, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("with_checksums", [True, False])
def test_a_flipped_bit_and_a_cut_are_found(tmp_path, checkpoint, with_checksums):
    path = Path(saved(tmp_path, checkpoint(model_state_dict={"w": torch.ones(100)})))
    if not with_checksums:
        (tmp_path / "p/e_1/.checksums.json").unlink()
    good, loader = path.read_bytes(), PyTorchLocalModelLoader(str(tmp_path))
    weights = good.index(np.ones(4, np.float32).tobytes())
    for bad in (
        good[:weights] + b"\1" + good[weights + 1 :],
        good[: len(good) // 2],
        good[:-10],
        b"",
        b"no checkpoint",
    ):
        path.write_bytes(bad)
        with pytest.raises(DamagedFile, match=r"model_e_1\.pth is damaged"):
            loader.load_model("p", "e", "1", "model")
    path.write_bytes(good)
    assert loader.load_model("p", "e", "1", "model")["model_state_dict"]["w"][0] == 1


def test_a_checkpoint_of_another_model(tmp_path, checkpoint):
    saved(tmp_path, checkpoint())
    loader = PyTorchLocalModelLoader(str(tmp_path))
    with pytest.raises(ValueError, match="load_model first"):
        loader.init_model(torch.nn.Linear(3, 2))
    loader.load_model("p", "e", "1", "model")
    with pytest.raises(WrongModel, match=r"model_e_1\.pth is of another model than this Linear: size mismatch"):
        loader.init_model(torch.nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match="another model than this Conv2d"):
        loader.init_model(torch.nn.Conv2d(1, 1, 1))
    fresh = torch.nn.Linear(3, 2)
    assert torch.equal(loader.init_model(fresh).weight, loader.model_representation["model_state_dict"]["weight"])


def test_data_parallel_names_lose_only_their_prefix(tmp_path, checkpoint):
    layer = torch.nn.Linear(3, 2)
    saved(tmp_path, checkpoint(model_state_dict={"module.weight": layer.weight.data, "bias": layer.bias.data}))
    loader = PyTorchLocalModelLoader(str(tmp_path))
    loader.load_model("p", "e", "1", "model")
    assert torch.equal(loader.init_model(torch.nn.Linear(3, 2), used_data_parallel=True).bias, layer.bias)


@pytest.mark.parametrize(
    ("prefix", "word"),
    [("module.", "used_data_parallel=True"), ("_orig_mod.", "torch.compile"), ("module._orig_mod.", "Save")],
)
def test_the_prefix_of_a_wrapper_is_named(tmp_path, checkpoint, prefix, word):
    layer = torch.nn.Linear(3, 2)
    weights = {f"{prefix}{name}": value for name, value in layer.state_dict().items()}
    path = saved(tmp_path, checkpoint(model_state_dict=weights))
    with pytest.raises(
        WrongModel, match=rf"model_e_1\.pth does not fit this Linear, as its names begin with '{prefix}'.*{word}"
    ):
        PyTorchLocalModelSaver(str(tmp_path)).read_model(path, like=torch.nn.Linear(3, 2))
    saved(tmp_path, checkpoint())
    wrapped = torch.nn.Sequential()
    wrapped.add_module(prefix.rstrip(".").partition(".")[0], layer)
    if prefix != "module._orig_mod.":
        with pytest.raises(WrongModel, match="the model's names begin with"):
            PyTorchLocalModelSaver(str(tmp_path)).read_model(path, like=wrapped)


def test_a_missing_model_names_the_others(tmp_path, checkpoint):
    saved(tmp_path, checkpoint())
    with pytest.raises(NoSuchExperiment, match="checkpoint_model' has: no model"):
        PyTorchLocalModelLoader(str(tmp_path)).load_model("p", "e", "1")
    with pytest.raises(FileNotFoundError, match=r"'model' has: model_e_1\.pth"):
        PyTorchLocalModelLoader(str(tmp_path)).load_model("p", "e", "1", "model", 5)


def test_schedulers(tmp_path, checkpoint):
    class Step(AbstractScheduler):
        def __init__(self):
            super().__init__()
            optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
            self.scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])

    path, loader = None, PyTorchLocalModelLoader(str(tmp_path))
    path = saved(tmp_path, checkpoint(schedulers_state_dict=[{**Step().state_dict(), "last_epoch": 3}]))
    loader.load_model_from_path(path)
    assert loader.init_scheduler([Step()])[0].scheduler.last_epoch == 3
    for given, error in [([], ValueError), ([Step(), Step()], ValueError), ([object()], TypeError)]:
        with pytest.raises(error):
            loader.init_scheduler(given)
    assert loader.init_scheduler([], ignore_saved=True) == []
    loader.load_model_from_path(saved(tmp_path, checkpoint(schedulers_state_dict=None)))
    with pytest.raises(KeyError, match="ignore_missing_saved"):
        loader.init_scheduler([Step()])


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, checkpoint):
    path = Path(saved(tmp_path, checkpoint(epoch=1)))
    good = path.read_bytes()
    with pytest.raises(Exception, match=r"[Pp]ickle"):
        saved(tmp_path, checkpoint(bad=lambda: None))
    assert path.read_bytes() == good and [f.name for f in path.parent.iterdir()] == [path.name]
    assert PyTorchLocalModelLoader(str(tmp_path)).load_model("p", "e", "1", "model")["epoch"] == 1


@pytest.mark.parametrize("model", [None, torch.nn.Linear(1, 1), 3])
def test_what_is_no_checkpoint_makes_no_folder(tmp_path, model):
    with pytest.raises(TypeError, match="state_dict"):
        saved(tmp_path, model)
    with pytest.raises(ValueError, match="has no 'hyperparams'"):
        saved(tmp_path, {"model_state_dict": 1, "optimizer_state_dict": 1, "epoch": 1})
    assert not list(tmp_path.iterdir())


def jax_model():
    params = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.full(3, 1.1, jnp.bfloat16)}}
    return {
        "params": params,
        "optimizer": optax.adam(1e-3).init(params),
        "key": jax.random.key(7),
        "rbg": jax.random.split(jax.random.key(1, impl="rbg"), 2),
        "epoch": 3,
        "hyperparams": {"name": "net", "lr": 0.1, "nan": float("nan"), "none": None, "list": [1, "a"], "empty": {}},
        "numpy": np.array([1, 2**40]),
        "nothing": np.zeros((0, 3), np.float16),
        "scalar": jnp.asarray(2, jnp.int8),
    }


def flax_saved(root, model):
    return FlaxLocalModelSaver(str(root)).save_model(model, "p", "e", "1")[1]


def test_a_jax_model_comes_back_bit_for_bit(tmp_path):
    model, saver = jax_model(), FlaxLocalModelSaver(str(tmp_path))
    path = flax_saved(tmp_path, model)
    again = saver.read_model(path, like=jax.tree.map(lambda leaf: leaf, model))
    assert jax.tree.structure(again) == jax.tree.structure(model)
    for (place, old), new in zip(jax.tree_util.tree_flatten_with_path(model)[0], jax.tree.leaves(again), strict=True):
        assert type(new) is type(old), place
        if isinstance(old, jax.Array) and jax.dtypes.issubdtype(old.dtype, jax.dtypes.prng_key):
            assert new.dtype == old.dtype
            old, new = jax.random.key_data(old), jax.random.key_data(new)
        if hasattr(old, "dtype"):
            assert new.dtype == old.dtype and np.asarray(new).tobytes() == np.asarray(old).tobytes(), place
    assert again["hyperparams"].pop("nan") != 0 and model["hyperparams"].pop("nan")
    assert again["hyperparams"] == model["hyperparams"]


def test_a_jax_model_comes_back_without_its_structure(tmp_path):
    again = FlaxLocalModelSaver().read_model(flax_saved(tmp_path, jax_model()))
    assert set(again) == set(jax_model()) and again["hyperparams"]["list"] == [1, "a"]
    assert again["params"]["dense"]["bias"].dtype == jnp.bfloat16 and again["hyperparams"]["empty"] == {}
    assert jax.random.key_impl(again["key"]) == jax.random.key_impl(jax.random.key(7))
    assert again["optimizer"][0]["mu"]["dense"]["kernel"].shape == (2, 3)


def test_the_npz_needs_no_pickle_and_no_analogjax(tmp_path):
    with np.load(flax_saved(tmp_path, jax_model()), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    assert "table" in arrays and all(array.dtype.kind in "biufc" for array in arrays.values())


def test_a_bare_array_and_a_list_are_models(tmp_path):
    saver = FlaxLocalModelSaver(str(tmp_path))
    assert np.array_equal(saver.read_model(flax_saved(tmp_path, jnp.ones(2))), np.ones(2))
    again = saver.read_model(flax_saved(tmp_path, [jnp.ones(2), {"a": (1, 2)}]))
    assert again[1] == {"a": [1, 2]}


def test_a_leaf_that_is_no_value_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"\['hyperparams'\]\['model'\].*Config"):
        flax_saved(tmp_path, {"hyperparams": {"model": Config()}})
    assert not list(tmp_path.iterdir())


def test_a_jax_model_of_another_shape_or_a_damaged_one(tmp_path):
    saver = FlaxLocalModelSaver(str(tmp_path))
    path = Path(flax_saved(tmp_path, {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}))
    with pytest.raises(WrongModel, match=r"\['w'\]: float32\[2, 3\] in the checkpoint, float32\[2, 4\] in the model"):
        saver.read_model(str(path), like={"w": jnp.ones((2, 4)), "b": jnp.ones(3)})
    good = path.read_bytes()
    at = good.index(np.ones(3, np.float32).tobytes())
    for bad in (good[:-30], good[:at] + b"\1" + good[at + 1 :], b"", b"text"):
        path.write_bytes(bad)
        with pytest.raises(DamagedFile, match=r"model_e_1\.npz is damaged"):
            saver.read_model(str(path))


def test_an_npz_with_a_pickle_inside_runs_nothing(tmp_path):
    mark, path = tmp_path / "ran", tmp_path / "model.npz"
    np.savez(path, table=np.array([Trap(mark)], dtype=object))
    with pytest.raises(DamagedFile):
        FlaxLocalModelSaver().read_model(str(path))
    assert not mark.exists()


@keras_noise
@pytest.mark.parametrize("file_format", ["h5", "keras"])
@pytest.mark.parametrize("loss", ["mse", "mean_squared_error"])
def test_a_compiled_keras_model_loads_again(tmp_path, file_format, loss):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("adam", loss, metrics=["mae"])
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    name, path = KerasLocalModelSaver(str(tmp_path), file_format=file_format).save_model(model, "p", "e", "1", 2)
    assert name == f"model_e_1_E2.{file_format}"
    again = keras.models.load_model(path)
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert again.optimizer.iterations == model.optimizer.iterations
    assert again.evaluate(x, x[:, :1], verbose=0) == pytest.approx(model.evaluate(x, x[:, :1], verbose=0))


@keras_noise
def test_a_keras_model_that_was_trained_goes_on_training(tmp_path):
    """Keras alone loses the optimizer's state in .h5 and cannot train on, and drops the optimizer of a later .keras."""
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), loss="mse")
    x, y = np.ones((4, 3)), np.ones((4, 1))
    model.fit(x, y, epochs=2, verbose=0)
    for file_format in ("h5", "keras"):
        _, path = KerasLocalModelSaver(str(tmp_path), file_format=file_format).save_model(model, "p", "e", "1")
        again = keras_file.read(path)
        assert isinstance(again.optimizer, keras.optimizers.Adam)
        for one, other in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
        again.fit(x, y, verbose=0)
        assert int(again.optimizer.iterations) == 3


@keras_noise
def test_keras_models_that_h5_cannot_hold(tmp_path):
    keras = pytest.importorskip("keras")

    @keras.saving.register_keras_serializable("tests")
    class Own(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.ones((1, 3)))
    with pytest.warns(UserWarning, match="subclassed model.*file_format='keras'"):
        KerasLocalModelSaver(str(tmp_path)).save_model(model, "p", "e", "1")
    saver = KerasLocalModelSaver(str(tmp_path), file_format="keras")
    again = saver.read_model(saver.save_model(model, "p", "e", "1")[1])
    assert np.array_equal(again(np.ones((1, 3))), model(np.ones((1, 3))))
    with pytest.raises(ValueError, match="'h5' or 'keras'"):
        KerasLocalModelSaver(str(tmp_path), file_format="onnx")


@keras_noise
@pytest.mark.parametrize("file_format", ["h5", "keras"])
def test_damaged_and_dangerous_keras_files(tmp_path, file_format):
    keras = pytest.importorskip("keras")
    saver = KerasLocalModelSaver(str(tmp_path), file_format=file_format)
    layers = keras.layers
    model = keras.Sequential([layers.Input((3,)), layers.Lambda(lambda x: x * 2)])
    path = saver.save_model(model, "p", "e", "1")[1]
    with pytest.raises(UnsafeFile, match="allow_pickle=True"):
        saver.read_model(path)
    assert saver.read_model(path, allow_pickle=True)(np.ones((1, 3)))[0, 0] == 2
    data = Path(path).read_bytes()
    for bad in (data[: len(data) // 2], b"", b"text" * 100):
        Path(path).write_bytes(bad)
        with pytest.raises(DamagedFile, match="damaged"):
            saver.read_model(path)
    with pytest.raises(FileNotFoundError):
        saver.read_model(f"{path}.none")


def test_zip_members_keep_their_stem(tmp_path, checkpoint):
    with zipfile.ZipFile(saved(tmp_path, checkpoint())) as archive:
        assert "model_e_1/data.pkl" in archive.namelist()
