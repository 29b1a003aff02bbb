"""`model_format="safetensors"` of all savers: the same models come back, and other programs read the weights."""

import collections
from pathlib import Path

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from aitoolbox.experiment.experiment_saver import FullPyTorchExperimentS3Saver
from aitoolbox.experiment.local_experiment_saver import (
    FullFlaxExperimentLocalSaver,
    FullKerasExperimentLocalSaver,
    FullPyTorchExperimentLocalSaver,
)
from aitoolbox.experiment.local_load.local_model_load import PyTorchLocalModelLoader
from aitoolbox.experiment.local_save.local_model_save import PyTorchLocalModelSaver

from analogjax import nn, random
from compat.aitoolbox.store.errors import DamagedFile, NotData

safetensors = pytest.importorskip("safetensors")
load_numpy = pytest.importorskip("safetensors.numpy").load_file
keras_noise = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15


def same(a, b):
    """Whether two checkpoints are equal in kinds, order and bits."""
    if isinstance(a, (torch.Tensor, np.ndarray)):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def trained():
    """A small model with tied weights, and an optimizer with a state."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3))
    model[2].weight = model[0].weight
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_a_pytorch_checkpoint_comes_back_with_its_optimizer(tmp_path, package, history):
    model, optimizer = trained()
    checkpoint = {
        "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "epoch": np.int64(3),
        "hyperparams": {"lr": 0.01, "sizes": (1, 2)}, "mean": np.arange(3.0), "loss": float("nan"), "none": None,
        "half": {"a": torch.ones(2, dtype=torch.bfloat16), 5: [torch.zeros(0, 2), (True, "text")]},
    }  # fmt: skip
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), model_format="safetensors", file_format="json")
    path, *_ = saver.save_experiment(checkpoint, package(), history, "1")
    assert path.endswith("model_e_1.safetensors")
    weights = load_numpy(path)
    assert {"0.weight", "0.bias", "1.running_mean", "optimizer_state_dict/state/0/exp_avg"} <= set(weights)
    assert "2.weight" not in weights  # it is the first one's
    again = saver.load_experiment(experiment_timestamp="1").model
    assert np.isnan(again.pop("loss")) and again.pop("hyperparams") == {"lr": 0.01, "sizes": [1, 2]}
    wanted = {key: value for key, value in checkpoint.items() if key not in ("loss", "hyperparams")} | {"epoch": 3}
    assert same(wanted, {key: again[key] for key in wanted})
    assert isinstance(again["model_state_dict"], collections.OrderedDict)
    other, its = trained()
    saver.load_experiment(experiment_timestamp="1", like=other)
    its.load_state_dict(again["optimizer_state_dict"])
    assert same(other.state_dict(), model.state_dict()) and same(its.state_dict(), optimizer.state_dict())


def test_views_of_one_memory_stay_what_they_were(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    parts = {"rows": whole[:2], "columns": whole[:, 1], "whole": whole, "turned": whole.T}
    checkpoint = {"model_state_dict": parts, "optimizer_state_dict": None, "epoch": 1, "hyperparams": {}}
    saver = PyTorchLocalModelSaver(str(tmp_path), file_format="safetensors")
    saver.save_model(checkpoint, "p", "e", "1")
    again = PyTorchLocalModelLoader(str(tmp_path)).load_model("p", "e", "1", "model")
    assert same(parts, again["model_state_dict"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, r"\['extra'\] can't be in a .safetensors file"),
        ({(1, 2): 3}, "neither text nor a whole number"),
        (torch.eye(2).to_sparse(), "sparse"),
        (np.array(["a"]), "can't be in a .safetensors"),
        (object(), "can't be in a .safetensors"),
    ],
)
def test_what_it_cannot_hold_is_told_before_anything_is_written(tmp_path, package, history, checkpoint, value, words):
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), model_format="safetensors")
    with pytest.raises(NotData, match=words):
        saver.save_experiment(checkpoint(extra=value), package(), history)
    assert not list(tmp_path.iterdir())


def test_damage_and_files_of_others_are_found(tmp_path, checkpoint):
    saver = PyTorchLocalModelSaver(str(tmp_path), file_format="safetensors")
    path = Path(saver.save_model(checkpoint(), "p", "e", "1")[1])
    loader, good = PyTorchLocalModelLoader(str(tmp_path)), path.read_bytes()
    for bad in (good[:-3], good[: len(good) // 3], b"", good[:-1] + bytes([good[-1] ^ 1])):
        path.write_bytes(bad)
        with pytest.raises(DamagedFile, match="damaged"):
            loader.load_model("p", "e", "1", "model")
    foreign = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2)}, foreign)
    with pytest.raises(DamagedFile, match="not written by this library"):
        loader.load_model_from_path(foreign)


def test_analog_layers_of_pytorch(tmp_path, package, history):
    from aihwkit.nn import AnalogLinear, AnalogSequential

    model = AnalogSequential(AnalogLinear(3, 2), AnalogLinear(2, 2))
    checkpoint = {"model_state_dict": model.state_dict(), "optimizer_state_dict": {}, "epoch": 1, "hyperparams": {}}
    saver = FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), model_format="safetensors")
    saver.save_experiment(checkpoint, package(), history, "1")
    other = AnalogSequential(AnalogLinear(3, 2), AnalogLinear(2, 2))
    saver.load_experiment(experiment_timestamp="1", like=other)
    for ours, theirs in zip(model.analog_layers(), other.analog_layers(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8", "bool", "float8_e4m3fn", "complex64"])
def test_a_pytree_comes_back_bit_for_bit(tmp_path, package, history, dtype):
    tree = {
        "params": {"a/b": jnp.ones((2, 3)), "a": {"b": jnp.arange(4).astype(dtype)}}, "key": random.key(3),
        "state": optax.adam(0.1).init({"w": jnp.zeros(2, "bfloat16")}), "epoch": 4, "none": None,
        "scalar": jnp.asarray(1, dtype), "empty": np.zeros((0, 2), np.float32),
    }  # fmt: skip
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path), model_format="safetensors")
    path, *_ = saver.save_experiment(tree, package(), history, "1")
    again = saver.load_experiment(experiment_timestamp="1", like=tree).model
    assert jax.tree.structure(tree) == jax.tree.structure(again)
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(again), strict=True):
        if isinstance(a, jax.Array) and jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert "state/0/mu/w" in load_numpy(path)
    assert saver.load_experiment(experiment_timestamp="1").model["epoch"] == 4


def test_analog_layers_of_flax(tmp_path, package, history):
    model = nn.Sequential(nn.AnalogLinear(2), linen.Dense(2))
    variables = nn.init(model, jnp.ones((1, 3)), random.key(0))
    saver = FullFlaxExperimentLocalSaver("p", "e", str(tmp_path), model_format="safetensors")
    path, *_ = saver.save_experiment(variables, package(), history, "1")
    again = saver.load_experiment(experiment_timestamp="1", like=variables).model
    for a, b in zip(jax.tree.leaves(variables), jax.tree.leaves(again), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert "params/layers_1/kernel" in load_numpy(path)


@keras_noise
@pytest.mark.parametrize("compiled", [True, False])
def test_a_keras_model_goes_on_where_it_was(tmp_path, package, history, compiled):
    import keras

    inputs = keras.Input((3,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4, activation="relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(0.1)(hidden)))
    x, y = np.random.default_rng(0).normal(size=(8, 3)), np.ones((8, 2))
    if compiled:
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
        model.fit(x, y, epochs=2, verbose=0)
    saver = FullKerasExperimentLocalSaver("p", "e", str(tmp_path), model_format="safetensors")
    path, *_ = saver.save_experiment(model, package(), history, "1")
    assert any(name.endswith("/kernel") for name in load_numpy(path))
    again = saver.load_experiment(experiment_timestamp="1").model
    assert np.array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    if compiled:
        assert [v.path for v in model.optimizer.variables] == [v.path for v in again.optimizer.variables]
        # dropout draws from the same seeds, so further training is the same
        ends = [one.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"] for one in (model, again)]
        assert ends[0] == ends[1]
        weights_only = saver.load_experiment(experiment_timestamp="1", compile=False).model
        assert getattr(weights_only, "optimizer", None) is None


@keras_noise
def test_keras_models_that_are_more_than_variables(tmp_path, package, history):
    import keras

    class Own(keras.layers.Layer):
        def save_own_variables(self, store):
            store["a"] = np.ones(2)

    model = keras.Sequential([keras.Input((3,)), Own()])
    saver = FullKerasExperimentLocalSaver("p", "e", str(tmp_path), model_format="safetensors")
    with pytest.raises(NotData, match=r"own.*save_own_variables.*model_format='keras'"):
        saver.save_experiment(model, package(), history)
    assert not list(tmp_path.iterdir())


def test_a_bucket_has_them_too_and_another_machine_loads_them(s3_server, tmp_path, package, history, checkpoint):
    from aitoolbox.cloud.AWS.model_load import PyTorchS3ModelLoader

    bucket, where = s3_server.bucket(), {"storage_options": s3_server.options}
    saver = FullPyTorchExperimentS3Saver(
        "p", "e", bucket, "lead", str(tmp_path / "a"), model_format="safetensors", **where
    )
    given = checkpoint()
    saver.save_experiment(given, package(), history, "1")
    loader = PyTorchS3ModelLoader(str(tmp_path / "b"), bucket, "lead", **where)
    assert same(given["model_state_dict"], loader.load_model("p", "e", "1", "model")["model_state_dict"])


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'pth' or 'safetensors'"):
        FullPyTorchExperimentLocalSaver("p", "e", str(tmp_path), model_format="h5")
