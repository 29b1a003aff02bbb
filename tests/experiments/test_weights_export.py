"""Weights as files that other programs read."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import nn, random
from analogjax.errors import ConfigError
from analogjax.experiments import export_weights
from analogjax.physics import FloatingPoint
from analogjax.tile import HardwareAware, Mapping, TileConfig
from analogjax.weights_file import read_network

X = jnp.linspace(-1, 1, 10).reshape(2, 5)


def read(path):
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    return pytest.importorskip("safetensors.numpy").load_file(path)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    "config",
    [TileConfig(device=FloatingPoint()), TileConfig(device=FloatingPoint(), mapping=Mapping(max_input_size=2)),
     HardwareAware(mapping=Mapping(weight_scaling_omega=1.0))],
    ids=["chip", "chips", "aware"],
)  # fmt: skip
def test_weights_compute_what_the_model_does(tmp_path, ending, config):
    model = nn.Sequential(nn.AnalogLinear(4, config), jax.nn.relu, nn.AnalogLinear(3, config), jax.nn.log_softmax)
    variables = nn.init(model, X, random.key(0))
    path = tmp_path / f"weights{ending}"
    export_weights(path, variables)
    found = read(path)
    assert sorted(found) == ["layers_0.bias", "layers_0.weight", "layers_2.bias", "layers_2.weight"]
    assert found["layers_0.weight"].shape == (4, 5)
    again, its, (outputs, inputs) = read_network(path, "relu")  # what `analogjax infer` does
    assert (outputs, inputs) == (3, 5)
    hidden = jax.nn.relu(X @ found["layers_0.weight"].T + found["layers_0.bias"])
    y = hidden @ found["layers_2.weight"].T + found["layers_2.bias"]
    exact = nn.apply(again, its, X, key=random.key(1))
    np.testing.assert_allclose(exact, jax.nn.log_softmax(y), atol=0.2)  # its converters have steps


def test_learned_scales_groups_and_statistics(tmp_path):
    config = TileConfig(device=FloatingPoint(), mapping=Mapping(learn_out_scaling=True, out_scaling_columnwise=True))

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x, training=False):
            x = nn.AnalogConv1d(4, TileConfig(device=FloatingPoint()), kernel_size=(3,), groups=2, name="conv")(x)
            x = linen.BatchNorm(use_running_average=not training, name="norm")(x)
            return nn.AnalogLinear(3, config, name="last")(x.reshape(len(x), -1))

    variables = nn.init(Model(), jnp.ones((2, 5, 2)), random.key(0))
    last = {**variables.params["last"], "out_scale": jnp.array([1.0, 2.0, 3.0])}
    variables = variables.replace(params={**variables.params, "last": last})
    export_weights(tmp_path / "w.npz", variables)
    found = read(tmp_path / "w.npz")
    assert (
        found["conv.weight"].shape == (2, 2, 3) and found["norm.mean"].shape == (4,) and "last.out_scale" not in found
    )
    held = np.asarray(variables.tiles["last"]["tile"].read())
    np.testing.assert_array_equal(found["last.weight"], held * np.array([[1.0], [2.0], [3.0]], np.float32))


def test_a_wrong_name_and_a_full_disk_leave_what_was_there(tmp_path, monkeypatch):
    variables = nn.init(nn.Sequential(nn.AnalogLinear(2)), X, random.key(0))
    with pytest.raises(ConfigError, match="must end with"):
        export_weights(tmp_path / "weights.pt", variables)
    path = tmp_path / "weights.npz"
    export_weights(path, variables)
    before = path.read_bytes()

    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        export_weights(path, variables)
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["weights.npz"]
