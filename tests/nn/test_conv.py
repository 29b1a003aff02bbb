"""Convolution on chips: torch's convolution where the tile is exact, the same slots and signals as a linear layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import AnalogLinear, BasicTraining, LocalRunner, Sequential, TileConfig, nn
from analogjax.data import Split
from analogjax.errors import ShapeError
from analogjax.experiments import Arrays
from analogjax.physics import ADC, FloatingPoint, Periphery

EXACT = Periphery(adc=ADC(bound=0.0), is_perfect=True)
CONFIG = TileConfig(device=FloatingPoint(), forward=EXACT, backward=EXACT)
SHAPES = [{}, {"strides": (2, 1), "padding": (1, 2), "dilation": (1, 2)}]


def layer_and_input(key, channels_first, **given):
    layer = nn.AnalogConv2d(5, CONFIG, kernel_size=(3, 2), channels_first=channels_first, **given)
    x = jax.random.normal(key, (2, 3, 9, 8))
    x = x if channels_first else x.transpose(0, 2, 3, 1)
    return layer, x, nn.init(layer, x, jax.random.key(1))


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("given", SHAPES)
def test_it_is_torchs_convolution(key, channels_first, given):
    torch = pytest.importorskip("torch")
    layer, x, variables = layer_and_input(key, channels_first, **given)
    weight = np.array(variables.tiles["tile"].read())
    assert weight.shape == (5, 3 * 3 * 2) and np.abs(weight).max() <= 1 / np.sqrt(18)
    images = np.array(x if channels_first else x.transpose(0, 3, 1, 2))
    torched = torch.tensor(images, requires_grad=True)
    expected = torch.nn.functional.conv2d(
        torched, torch.tensor(weight.reshape(5, 3, 3, 2)), torch.tensor(np.array(variables.params["bias"])),
        stride=given.get("strides", 1), padding=given.get("padding", 0), dilation=given.get("dilation", 1),
    )  # fmt: skip
    expected.square().sum().backward()

    def loss(x):
        y = nn.apply(layer, variables, x, key=jax.random.key(2))
        return jnp.sum(y**2), y

    (_, y), gradient = jax.value_and_grad(loss, has_aux=True)(x)
    if not channels_first:
        y, gradient = y.transpose(0, 3, 1, 2), gradient.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, torched.grad.numpy(), rtol=1e-4, atol=1e-4)


def test_the_signals_hold_the_gradient_of_the_weights(key):
    layer, x, variables = layer_and_input(key, False)
    slots = nn.slots(layer, variables, x)

    def loss(slots):
        return jnp.sum(jnp.sin(nn.apply(layer, variables, x, key=jax.random.key(2), slots=slots)))

    signal = jax.grad(loss)(slots)["tile"][0]
    assert signal.x.shape == (2, 7, 7, 18) and signal.d.shape == (2, 7, 7, 5)
    patches = signal.x.reshape(-1, 18)

    def dense(weight):
        return jnp.sum(jnp.sin(patches @ weight.T + variables.params["bias"]))

    expected = jax.grad(dense)(variables.tiles["tile"].read())
    summed = jnp.einsum("bijo,bijk->ok", signal.d, signal.x)
    np.testing.assert_allclose(summed, expected, rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_told(key):
    layer = nn.AnalogConv2d(4, CONFIG, in_channels=3)
    with pytest.raises(ShapeError, match="in_channels is 3"):
        nn.init(layer, jnp.zeros((1, 3, 8, 8)), key)
    with pytest.raises(ShapeError, match="batch of images"):
        nn.init(layer, jnp.zeros((8, 8)), key)


def test_a_small_lenet_trains(key):
    images = jax.random.normal(key, (32, 8, 8))
    labels = (images.mean((1, 2)) > 0).astype(int)
    split = Split(np.asarray(images), np.asarray(labels))
    model = Sequential(
        nn.AnalogConv2d(3, CONFIG, kernel_size=(3, 3)), jnp.tanh, lambda x: nn.max_pool(x, (2, 2)), nn.flatten,
        AnalogLinear(2, CONFIG), jax.nn.log_softmax,
    )  # fmt: skip
    experiment = BasicTraining(Arrays(split, split), model, batch_size=8, epochs=8, learning_rate=0.3)
    results = LocalRunner("cpu").run(experiment, stdout=False)
    assert results[-1]["train_loss"] < 0.8 * results[0]["train_loss"]


def test_an_image_smaller_than_the_kernel_is_refused(key):
    layer = nn.AnalogConv2d(5, CONFIG, kernel_size=(3, 2), dilation=(4, 1))
    with pytest.raises(ShapeError, match=r"kernel of \(3, 2\) with dilation \(4, 1\) does not fit .* 8x9"):
        nn.init(layer, jnp.zeros((1, 8, 9, 3)), key)
