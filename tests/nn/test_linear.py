"""The analog layer as a flax module."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import nn, random
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn import AnalogLinear
from analogjax.physics import ConstantStep, Ideal, Periphery
from analogjax.tile import Mapping, Tile, TileArray, TileConfig
from tests.tolerance import assert_close

PERFECT = Periphery(is_perfect=True)


def config(**mapping):
    return TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT, mapping=Mapping(**mapping))


@pytest.fixture
def x():
    return random.normal(random.key(1), (3, 5))


def test_a_perfect_layer_is_linear(x, key):
    layer = AnalogLinear(4, config())
    variables = nn.init(layer, x, key)
    assert variables.tiles["tile"].shape == (4, 5) and variables.params["bias"].shape == (4,)
    expected = x @ variables.tiles["tile"].read().T + variables.params["bias"]
    assert_close(nn.apply(layer, variables, x, key=key), expected)
    deep = jnp.broadcast_to(x, (2, 3, 5))
    assert_close(nn.apply(layer, variables, deep, key=key)[1], expected)


def test_initial_values_are_uniform(key):
    layer = AnalogLinear(64, config())
    variables = nn.init(layer, jnp.ones((1, 16)), key)
    for values in (variables.tiles["tile"].read(), variables.params["bias"]):
        assert 0.2 < np.max(np.abs(values)) <= 0.25


def test_an_analog_bias_is_one_more_column(x, key):
    layer = AnalogLinear(4, config(digital_bias=False))
    variables = nn.init(layer, x, key)
    assert variables.params == {} and variables.tiles["tile"].shape == (4, 6)
    w = variables.tiles["tile"].read()
    assert_close(nn.apply(layer, variables, x, key=key), x @ w[:, :5].T + w[:, 5])
    slots = nn.slots(layer, variables, x)
    signal = jax.grad(lambda s: nn.apply(layer, variables, x, key=key, slots=s).sum())(slots)["tile"][0]
    assert_close(signal.x, np.concatenate([x, np.ones((3, 1))], 1))


@pytest.mark.parametrize("digital", [True, False])
def test_without_a_bias(digital, x, key):
    layer = AnalogLinear(4, config(digital_bias=digital), use_bias=False)
    variables = nn.init(layer, x, key)
    assert variables.params == {} and variables.tiles["tile"].shape == (4, 5)


@pytest.mark.parametrize("columnwise", [False, True])
def test_learned_scales(columnwise, x, key):
    layer = AnalogLinear(4, config(learn_out_scaling=True, out_scaling_columnwise=columnwise), use_bias=False)
    variables = nn.init(layer, x, key)
    scale = variables.params["out_scale"]
    assert scale.shape == ((4,) if columnwise else ()) and np.all(scale == 1)
    doubled = variables.replace(params={"out_scale": 2 * scale})
    one, two = (nn.apply(layer, v, x, key=key) for v in (variables, doubled))
    assert_close(two, 2 * one)
    slots = nn.slots(layer, variables, x)
    signal = jax.grad(lambda s: nn.apply(layer, doubled, x, key=key, slots=s).sum())(slots)["tile"][0]
    assert_close(signal.d, np.full((3, 4), 2.0))  # the tile sees the error behind the scale
    gradient = jax.grad(lambda p: nn.apply(layer, variables.replace(params=p), x, key=key).sum())(variables.params)
    assert_close(gradient["out_scale"], one.sum(0) if columnwise else one.sum())


def test_large_layers_are_split(x, key):
    layer = AnalogLinear(4, config(max_input_size=3, max_output_size=3))
    variables = nn.init(layer, x, key)
    assert isinstance(variables.tiles["tile"], TileArray) and variables.tiles["tile"].grid == (2, 2)
    assert isinstance(nn.init(AnalogLinear(4, config()), x, key).tiles["tile"], Tile)
    expected = x @ variables.tiles["tile"].read().T + variables.params["bias"]
    assert_close(nn.apply(layer, variables, x, key=key), expected)


def test_noise_comes_from_the_key(x, key):
    layer = AnalogLinear(4, TileConfig(device=ConstantStep()))
    variables = nn.init(layer, x, key)
    one, same, other = (nn.apply(layer, variables, x, key=random.key(seed)) for seed in (1, 1, 2))
    assert np.all(one == same) and np.any(one != other)


def test_layers_of_one_model_draw_their_own_noise_and_devices(key):
    model = nn.Sequential(AnalogLinear(5), AnalogLinear(5))
    x = jnp.ones((2, 5))
    tiles = [node["tile"] for node in nn.init(model, x, key).tiles.values()]
    assert np.any(tiles[0].cells["max_bound"] != tiles[1].cells["max_bound"])


def test_wrong_inputs_are_refused(key):
    with pytest.raises(ConfigError, match="by name, such as kernel_size"):
        nn.init(nn.AnalogConv2d(2, (3, 3)), jnp.ones((1, 5, 5, 1)), key)
    for features in (0, (3, 3), 2.5):
        with pytest.raises(ConfigError, match="features="):
            nn.init(AnalogLinear(features, config()), jnp.ones((2, 6)), key)
    with pytest.raises(ShapeError, match="last axis must be 5"):
        nn.init(AnalogLinear(4, config(), in_features=5), jnp.ones((2, 6)), key)
    layer = AnalogLinear(4, config())
    variables = nn.init(layer, jnp.ones((2, 5)), key)
    with pytest.raises(ShapeError, match="last axis of x must be 5"):
        nn.apply(layer, variables, jnp.ones((2, 6)), key=key)
