"""Digital flax models become analog ones with the same outputs, and come back."""

from dataclasses import replace

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from analogjax import nn, random
from analogjax.errors import ConfigError
from analogjax.physics import ADC, AddNormal, Ideal, PCMLike, Periphery
from analogjax.tile import HardwareAware, Mapping, TileArray, TileConfig

EXACT = Periphery(adc=ADC(bound=0.0), is_perfect=True)
PULSED = TileConfig(device=Ideal(), forward=EXACT, backward=EXACT)
AWARE = HardwareAware(forward=EXACT, mapping=Mapping(weight_scaling_omega=1.0, max_input_size=9))


class Net(linen.Module):
    """Convolutions with paddings, strides and dilation, a layer that is called twice, batch statistics."""

    @linen.compact
    def __call__(self, x, training=False):
        x = linen.Conv(4, (3, 3), padding="SAME", strides=2)(x)
        x = linen.BatchNorm(use_running_average=not training)(x)
        x = linen.Conv(3, (2, 2), padding=((1, 0), (0, 2)), kernel_dilation=2, use_bias=False)(jnp.tanh(x))
        x = x.reshape(x.shape[0], -1)
        twice = linen.Dense(x.shape[-1], name="twice")
        return linen.Dense(2)(jnp.tanh(twice(jnp.tanh(twice(x)))))


X = random.normal(random.key(0), (3, 7, 7, 2))


@pytest.fixture(scope="module")
def digital():
    model = Net()
    variables = model.init(jax.random.key(1), X)
    return model, variables, model.apply(variables, X)


def converted(digital, config):
    model, variables, _ = digital
    return nn.convert_to_analog(model, variables, X, config, key=random.key(2))


@pytest.mark.parametrize("config", [PULSED, AWARE], ids=["pulsed", "aware"])
def test_it_computes_the_same_and_comes_back(digital, config):
    analog, variables = converted(digital, config)
    np.testing.assert_allclose(nn.apply(analog, variables, X, key=random.key(3)), digital[2], rtol=1e-4, atol=1e-5)
    model, back = nn.convert_to_digital(analog, variables, X)
    assert model is digital[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), back, dict(digital[1]))


def test_a_bias_may_go_to_a_column_of_devices(digital):
    config = TileConfig(device=Ideal(), forward=EXACT, backward=EXACT, mapping=Mapping(digital_bias=False))
    analog, variables = converted(digital, config)
    assert "bias" not in variables.params.get("Dense_0", {})
    np.testing.assert_allclose(nn.apply(analog, variables, X, key=random.key(3)), digital[2], rtol=1e-4, atol=1e-5)
    back = nn.convert_to_digital(analog, variables, X)[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), back, dict(digital[1]))


def test_a_rule_chooses_by_path_and_kind(digital):
    seen = []

    def rule(path, layer):
        seen.append(path)
        return PULSED if isinstance(layer, linen.Conv) else AWARE if path == "twice" else None

    analog, variables = converted(digital, rule)
    assert {"Conv_0", "Conv_1", "Dense_0", "twice"} == set(seen)
    assert sorted(variables.tiles) == ["Conv_0", "Conv_1"] and sorted(variables.collections["hardware"]) == ["twice"]
    assert "kernel" in variables.params["Dense_0"]
    np.testing.assert_allclose(nn.apply(analog, variables, X, key=random.key(3)), digital[2], rtol=1e-4, atol=1e-5)


def test_what_was_converted_is_trained_and_programmed(digital):
    noisy = HardwareAware(forward=EXACT, modifier=AddNormal(std_dev=0.02), mapping=Mapping(max_input_size=20))
    analog, variables = converted(digital, noisy)
    adam = optax.adam(0.01)

    @jax.jit
    def step(variables, state, key):
        def loss(params):
            y, collections = nn.apply_training(analog, variables.replace(params=params), X, key=key)
            return jnp.sum((y - 1) ** 2), collections

        (value, collections), gradient = jax.value_and_grad(loss, has_aux=True)(variables.params)
        moves, state = adam.update(gradient, state)
        params, collections = nn.after_step(optax.apply_updates(variables.params, moves), collections)
        return variables.replace(params=params, collections=collections), state, value

    state, values = adam.init(variables.params), []
    for n in range(30):
        variables, state, value = step(variables, state, random.key(n))
        values.append(float(value))
    assert values[-1] < 0.2 * values[0]
    chips = nn.program(variables, PCMLike(), key=random.key(5)).drift(1.0, key=random.key(6))
    assert isinstance(chips.tiles["twice"]["tile"], TileArray)
    assert np.isfinite(nn.apply(analog, chips, X, key=random.key(7))).all()


def test_what_has_no_counterpart_is_told_by_its_path():
    grouped = linen.Sequential([linen.Conv(4, (3, 3), feature_group_count=2), jnp.tanh])
    variables = grouped.init(jax.random.key(0), X)
    with pytest.raises(ConfigError, match=r"layers_0.*with groups and a HardwareAware"):
        nn.convert_to_analog(grouped, variables, X, AWARE, key=random.key(1))
    with pytest.raises(ConfigError, match="no layer was chosen"):
        nn.convert_to_analog(grouped, variables, X, lambda path, layer: None, key=random.key(1))
    with pytest.raises(ConfigError, match="convert_to_analog returned"):
        nn.convert_to_digital(grouped, nn.Variables({}, {}), X)


@pytest.mark.parametrize(
    "given",
    [
        {"padding": "CIRCULAR", "kernel_dilation": 2, "strides": 2}, {"padding": "REFLECT"},
        {"padding": "CAUSAL", "kernel_dilation": 3},
    ],
)  # fmt: skip
def test_paddings_that_are_flaxs_own(given):
    """A kernel of 4 has one place more behind than before it."""
    x = jax.random.normal(jax.random.key(5), (2, 11, 3))
    model = linen.Conv(2, (4,), **given)
    variables = model.init(jax.random.key(6), x)
    analog, own = nn.convert_to_analog(model, variables, x, PULSED, key=random.key(7))
    y = nn.apply(analog, own, x, key=random.key(8))
    np.testing.assert_allclose(y, model.apply(variables, x), rtol=1e-5, atol=1e-5)
    back, params = nn.convert_to_digital(analog, own, x)
    np.testing.assert_allclose(back.apply(params, x), y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mapping", [Mapping(), Mapping(max_input_size=4, max_output_size=1)], ids=["whole", "cut"])
@pytest.mark.parametrize(("groups", "bias", "analog"), [(2, True, True), (6, True, False), (3, False, False)])
def test_groups_go_to_chips_of_their_own_and_back(groups, bias, analog, mapping):
    x = jax.random.normal(jax.random.key(5), (2, 5, 4, 6))
    model = linen.Conv(12, (2, 3), feature_group_count=groups, use_bias=bias, strides=(1, 2))
    variables = model.init(jax.random.key(6), x)
    if bias:
        variables = {"params": {**variables["params"], "bias": jnp.linspace(-0.4, 0.4, 12)}}
    config = replace(PULSED, mapping=replace(mapping, digital_bias=not analog))
    converted, own = nn.convert_to_analog(model, variables, x, config, key=random.key(7))
    assert own.tiles["tile"].stack == (groups,) and ("bias" in own.params) == (bias and not analog)
    y = nn.apply(converted, own, x, key=random.key(8))
    np.testing.assert_allclose(y, model.apply(variables, x), rtol=1e-5, atol=1e-5)
    _, params = nn.convert_to_digital(converted, own, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), params, dict(variables))


def test_layers_inside_of_lifted_transformations_are_told_by_name():
    lifted = linen.RNN(linen.LSTMCell(5))
    x = random.normal(random.key(0), (2, 4, 3))
    variables = lifted.init(jax.random.key(0), x)
    with pytest.raises(ConfigError, match="inside a lifted transformation"):
        nn.convert_to_analog(lifted, variables, x, AWARE, key=random.key(1))
