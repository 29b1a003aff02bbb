"""Whole models: their chips, slots and passes."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import nn, random
from analogjax.errors import ConfigError
from analogjax.nn import AnalogLinear
from analogjax.physics import Ideal, Periphery
from analogjax.tile import Signal, TileConfig
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
IDEAL = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT)
X = random.normal(random.key(1), (3, 2, 3))


def two_layers():
    return nn.Sequential(nn.flatten, AnalogLinear(5, IDEAL), jnp.tanh, AnalogLinear(4, IDEAL))


def test_init_makes_the_same_chips_from_the_same_key(key):
    model = two_layers()
    assert_same_bits(nn.init(model, X, key), nn.init(model, X, random.key(0)))
    variables = nn.init(model, X, key)
    assert jax.tree.leaves(variables.params) and set(variables.params) == set(variables.tiles)


def test_slots_are_zeros_of_the_shapes_seen(key):
    model = two_layers()
    variables = nn.init(model, X, key)
    slots = nn.slots(model, variables, X)
    found = jax.tree.leaves(slots, is_leaf=lambda s: isinstance(s, Signal))
    assert [(s.x.shape, s.d.shape) for s in found] == [((3, 6), (3, 5)), ((3, 5), (3, 4))]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slots))


def test_signals_are_the_dense_gradients_of_a_perfect_model(key):
    model = two_layers()
    variables = nn.init(model, X, key)

    def loss(params, slots):
        return jnp.sum(nn.apply(model, variables.replace(params=params), X, key=key, slots=slots) ** 2)

    grads, signals = jax.jit(jax.grad(loss, argnums=(0, 1)))(variables.params, nn.slots(model, variables, X))
    (first, second), names = [n["tile"].read() for n in variables.tiles.values()], list(variables.tiles)

    def dense(weights, params):
        h = jnp.tanh(nn.flatten(X) @ weights[0].T + params[names[0]]["bias"])
        return jnp.sum((h @ weights[1].T + params[names[1]]["bias"]) ** 2)

    by_weight, by_bias = jax.grad(dense, argnums=(0, 1))((first, second), variables.params)
    for name, expected in zip(names, by_weight, strict=True):
        (signal,) = signals[name]["tile"]
        assert_close(jnp.einsum("bo,bi->oi", signal.d, signal.x, precision="highest"), expected)
        assert_close(grads[name]["bias"], by_bias[name]["bias"])


def test_a_model_without_analog_layers(key):
    model = nn.Sequential(nn.flatten, linen.Dense(2))
    variables = nn.init(model, X, key)
    assert variables.tiles == {} and nn.slots(model, variables, X) == {}
    assert nn.apply(model, variables, X, key=key).shape == (3, 2)


def test_what_is_no_layer_is_refused():
    with pytest.raises(ConfigError, match="neither a module nor a function"):
        nn.Sequential(linen.Dense(2), 3)


def test_flatten():
    assert nn.flatten(X).shape == (3, 6)
