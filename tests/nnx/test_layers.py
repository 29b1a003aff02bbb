"""The NNX door: the same products, gradients and updates as everywhere, for models written with NNX."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import analogjax.nnx as door
from analogjax import nn, optim, random
from analogjax.errors import ConfigError, GradientError, ShapeError, SlotError
from analogjax.physics import ConstantStep, FloatingPoint, PCMLike, Periphery
from analogjax.tile import Mapping, TileConfig, drift_all, program_all
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
IDEAL = TileConfig(device=FloatingPoint(), forward=PERFECT, backward=PERFECT)
X = random.normal(random.key(1), (8, 4))
Y = random.normal(random.key(2), (8, 2))
RATE = 0.1


def rngs():
    return nnx.Rngs(0, analog=1)


class Net(nnx.Module):
    """A layer called twice, batch statistics, and another layer."""

    def __init__(self, config=IDEAL):
        made = rngs()
        self.first = door.AnalogLinear(4, 4, config=config, rngs=made)
        self.norm = nnx.BatchNorm(4, rngs=made)
        self.last = door.AnalogLinear(4, 2, config=config, rngs=made)

    def __call__(self, x):
        return self.last(jnp.tanh(self.norm(self.first(jnp.tanh(self.first(x))))))


def loss(model, x, y):
    return jnp.mean((model(x) - y) ** 2)


def test_signals_and_gradients_are_those_of_the_digital_model():
    model = Net()
    weights = {name: tile.read() for name, tile in door.tiles(model).items()}
    biases = {"first": model.first.bias[...], "last": model.last.bias[...]}

    def dense(weights, biases):
        def layer(name, x):
            return x @ weights[name].T + biases[name]

        h = layer("first", jnp.tanh(layer("first", X)))
        h = (h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-5)
        return jnp.mean((layer("last", jnp.tanh(h)) - Y) ** 2)

    by_weight, by_bias = jax.grad(dense, argnums=(0, 1))(weights, biases)
    value, gradients, signals = door.value_and_grad(loss)(model, X, Y)
    assert_close(value, dense(weights, biases))
    assert len(signals["first"]) == 2 and len(signals["last"]) == 1
    pulsed = optim.PulsedSGD(RATE)
    new, _ = pulsed.update(signals, pulsed.init({}), door.tiles(model), key=random.key(3))
    for name in weights:
        assert_close(new[name].read(), weights[name] - RATE * by_weight[name])
        assert_close(gradients[name]["bias"][...], by_bias[name], factor=50)  # behind batch statistics: differences


@pytest.mark.parametrize("compile", [lambda f: f, nnx.jit], ids=["eager", "jit"])
def test_a_training(compile):
    model = Net(TileConfig(device=ConstantStep(dw_min=0.002)))
    optimizer, pulsed = nnx.Optimizer(model, optax.sgd(RATE), wrt=nnx.Param), optim.PulsedSGD(RATE)

    @compile
    def step(model, optimizer, state, key):
        value, gradients, signals = door.value_and_grad(loss)(model, X, Y)
        optimizer.update(model, gradients)
        new, state = pulsed.update(signals, state, door.tiles(model), key=key)
        door.set_tiles(model, new)
        return value, state

    before = door.tiles(model)["first"]
    state, losses = pulsed.init({}), []
    for n in range(30 if compile is nnx.jit else 2):
        value, state = step(model, optimizer, state, random.key(n))
        losses.append(float(value))
    after = door.tiles(model)["first"]
    assert np.any(np.asarray(after.read() != before.read())) and np.all(model.norm.mean[...] != 0)
    assert_same_bits(after.cells, before.cells)
    if compile is nnx.jit:
        assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_aux_is_passed_on():
    (value, aux), _, _ = door.value_and_grad(lambda m, x: (m(x).sum(), x.shape), has_aux=True)(Net(), X)
    assert value.shape == () and aux == (8, 4)


def test_each_call_reads_with_noise_of_its_own():
    layer = door.AnalogLinear(4, 3, rngs=rngs())
    assert np.any(np.asarray(layer(X) != layer(X)))
    assert_same_bits(door.AnalogLinear(4, 3, rngs=rngs())(X), door.AnalogLinear(4, 3, rngs=rngs())(X))


@pytest.mark.parametrize(
    "mapping", [Mapping(digital_bias=False), Mapping(learn_out_scaling=True), Mapping(max_input_size=3)]
)
def test_mappings(mapping):
    config = TileConfig(device=IDEAL.device, forward=PERFECT, backward=PERFECT, mapping=mapping)
    layer = door.AnalogLinear(4, 3, config=config, rngs=rngs())
    w = layer.tile.get_value().read()
    expected = X @ w[:, :4].T + (w[:, 4] if layer.bias is None else layer.bias[...])
    assert_close(layer(X), expected)
    params = nnx.state(layer, nnx.Param)
    expected = ({"bias"} if mapping.digital_bias else set()) | ({"out_scale"} if mapping.learn_out_scaling else set())
    assert set(params) == expected


def test_a_convolution_is_that_of_the_linen_door():
    images = random.normal(random.key(4), (2, 6, 5, 3))
    layer = door.AnalogConv2d(3, 4, (3, 2), strides=(2, 1), padding=(1, 0), config=IDEAL, rngs=rngs())
    same = nn.AnalogConv2d(4, config=IDEAL, kernel_size=(3, 2), strides=(2, 1), padding=(1, 0))
    variables = nn.Variables({"bias": layer.linear.bias[...]}, {"tile": layer.linear.tile.get_value()})
    assert_close(layer(images), nn.apply(same, variables, images, key=random.key(0)))


def test_nothing_of_nnx_moves_the_chips():
    model = Net()
    optimizer = nnx.Optimizer(model, optax.adamw(0.1, weight_decay=0.5), wrt=nnx.Param)
    before = door.tiles(model)
    optimizer.update(model, nnx.grad(loss)(model, X, Y))
    assert_same_bits(door.tiles(model), before)
    with pytest.raises(GradientError):
        nnx.grad(loss, argnums=nnx.DiffState(0, door.Chips))(model, X, Y)


def test_chips_are_programmed_and_drift():
    model = Net()
    programmed = program_all(door.tiles(model), PCMLike(), None, random.key(5))
    y = model(X)
    door.set_tiles(model, drift_all(programmed, 1e6, random.key(6)))
    assert np.any(np.asarray(model(X) != y))
    with pytest.raises(SlotError, match=r"given chips of \['other'\]"):
        door.set_tiles(model, {"other": programmed})


def test_calls_inside_a_transformation_are_refused():
    def inside(transform):
        return lambda model, x, y: transform(lambda layer, x: layer(x))(model.last, x).sum()

    for transform in (nnx.remat, nnx.jit):
        with pytest.raises(SlotError, match=r"last: is called inside a transformation"):
            door.value_and_grad(inside(transform))(Net(), X, Y)


def test_wrong_sizes_are_refused():
    with pytest.raises(ConfigError, match="in_features=0"):
        door.AnalogLinear(0, 3, rngs=rngs())
    with pytest.raises(ShapeError, match="last axis must be 4"):
        door.AnalogLinear(4, 3, rngs=rngs())(X[:, :3])
    with pytest.raises(ShapeError, match=r"images \[B, H, W, 3\]"):
        door.AnalogConv2d(3, 4, rngs=rngs())(X)
    with pytest.raises(ConfigError, match="pairs"):
        door.AnalogConv2d(3, 4, 3, rngs=rngs())


def test_a_linen_layer_passes_the_bridge():
    bridged = nnx.bridge.ToNNX(nn.AnalogLinear(3), rngs=rngs()).lazy_init(X)
    assert bridged(X).shape == (8, 3)
