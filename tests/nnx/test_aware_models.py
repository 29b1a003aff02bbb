"""Hardware-aware NNX models are the linen ones with the same weights."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import analogjax.nnx as ours
from analogjax import nn, random
from analogjax.errors import ConfigError
from analogjax.physics import (
    ADC,
    AddNormal,
    Crossbar,
    FixedClip,
    InputRange,
    LayerwiseRemap,
    PCMLike,
    Periphery,
    StateIndependent,
)
from analogjax.tile import HardwareAware, Mapping, TileConfig

EXACT = Periphery(is_perfect=True)
CONFIG = HardwareAware(
    forward=EXACT,
    modifier=AddNormal(std_dev=0.1),
    clip=FixedClip(fixed_value=0.3),
    input_range=InputRange(init_from_data=1),
)
X = random.normal(random.key(0), (6, 7))
STILL = StateIndependent(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.first = ours.AnalogLinear(7, 5, config=CONFIG, rngs=rngs)
        self.last = ours.AnalogLinear(5, 2, config=TileConfig(forward=EXACT, backward=EXACT), rngs=rngs)

    def __call__(self, x):
        return self.last(jnp.tanh(self.first(x)))


def rngs():
    return nnx.Rngs(params=random.key(1), analog=random.key(2))


def net():
    return Net(rngs())


def loss(model, x):
    return jnp.sum(jnp.sin(model(x)))


def test_the_layer_is_that_of_linen():
    layer = ours.AnalogLinear(
        7, 5, config=replace(CONFIG, modifier=None), rngs=nnx.Rngs(params=random.key(1), analog=random.key(2))
    )
    linen = nn.AnalogLinear(5, layer.hardware.get_value().config)
    variables = nn.init(linen, X, random.key(3))
    params = {"weight": layer.weight[...], "bias": layer.bias[...], "input_range": layer.input_range[...]}
    theirs, collections = nn.apply_training(linen, variables.replace(params=params), X, key=random.key(4))
    np.testing.assert_allclose(layer(X), theirs, rtol=1e-5, atol=1e-6)
    after, _ = nn.after_step(params, collections)
    ours.after_step(layer)
    np.testing.assert_allclose(layer.weight[...], after["weight"], rtol=1e-6)
    np.testing.assert_allclose(layer.input_range[...], after["input_range"], rtol=1e-6)
    assert float(jnp.abs(layer.weight[...]).max()) <= 0.3 + 1e-6


def test_it_is_trained_by_an_optimiser_next_to_pulsed_layers():
    model = net()
    optimizer = nnx.Optimizer(model, optax.adam(0.01), wrt=nnx.Param)
    before = np.asarray(model.first.weight[...])
    value, gradients, signals = ours.value_and_grad(loss)(model, X)
    assert list(signals) == ["last"] and list(ours.tiles(model)) == ["last"]
    optimizer.update(model, gradients)
    ours.after_step(model)
    assert np.isfinite(value) and np.abs(np.asarray(model.first.weight[...]) - before).max() > 1e-3


def test_weights_are_disturbed_until_eval_is_called():
    model = net()
    assert np.abs(model(X) - model(X)).max() > 1e-3
    model.eval()
    np.testing.assert_array_equal(model(X), model(X))
    model.train()
    assert np.abs(model(X) - model(X)).max() > 1e-3


def test_programmed_without_noise_it_is_the_trained_model():
    model = net()
    programmed = ours.program(model, STILL, key=random.key(5))
    read = programmed.drift(1e5, key=random.key(6))
    model.eval()
    np.testing.assert_allclose(read(X), model(X), rtol=1e-4, atol=1e-5)
    assert model.first.weight is not None and read.first.weight is None


def test_fresh_chips_have_offsets_of_their_own():
    forward = Periphery(adc=ADC(noise=0.0), crossbar=Crossbar(v_offset_std=0.5))
    model = ours.AnalogLinear(7, 5, config=HardwareAware(forward=forward), use_bias=False, rngs=rngs())
    model.eval()

    def read(seed, fresh):
        chip = ours.program(model, STILL, fresh=fresh, key=random.key(seed)).drift(0.0, key=random.key(9))
        return np.asarray(chip(X))

    own = read(1, False)
    step = 0.02 * np.abs(own).max()
    assert np.abs(read(2, False) - own).max() < step
    assert np.abs(read(1, True) - own).max() > step and np.abs(read(1, True) - read(2, True)).max() > step


def test_programmed_models_are_read_only():
    read = ours.program(net(), PCMLike(), key=random.key(5)).drift(1.0, key=random.key(6))
    with pytest.raises(ConfigError, match="programmed already"):
        ours.program(read, PCMLike(), key=random.key(7))
    read.train()
    with pytest.raises(ConfigError, match="can't be trained"):
        read(X)


def test_convolutions_take_the_configuration_too():
    conv = ours.AnalogConv2d(2, 3, (3, 3), config=CONFIG, rngs=rngs())
    assert conv(jnp.ones((2, 5, 5, 2))).shape == (2, 3, 3, 3)
    ours.after_step(conv)
    assert jax.tree.leaves(ours.program(conv, PCMLike(), key=random.key(1)).chips)


def test_stacked_layers_are_clipped_and_remapped_one_by_one():
    config = HardwareAware(forward=EXACT, remap=LayerwiseRemap(), mapping=Mapping(weight_scaling_omega=1.0))

    @nnx.vmap
    def stack(key):
        return ours.AnalogLinear(6, 6, config=config, rngs=nnx.Rngs(key))

    layers = stack(jax.random.split(jax.random.key(0), 3))
    layers.weight.set_value(layers.weight[...] * jnp.array([1.0, 10.0, 0.1])[:, None, None])
    ours.after_step(layers)
    top = jnp.abs(layers.weight[...]).max((1, 2))
    np.testing.assert_allclose(layers.hardware.get_value().scale, top, rtol=1e-5)


def test_a_programmed_model_takes_no_step():
    read = ours.program(net(), PCMLike(), key=random.key(5)).drift(1.0, key=random.key(6))
    with pytest.raises(ConfigError, match="can't be trained"):
        ours.after_step(read)
    with pytest.raises(ConfigError, match="noise_model"):
        ours.program(net(), "PCM", key=random.key(5))
