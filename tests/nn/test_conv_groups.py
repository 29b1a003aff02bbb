"""Groups, padding and transposed convolutions: torch's layers where the tile is exact; pulses by hand where not."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from analogjax import TileConfig, nn, optim, random
from analogjax import nnx as analog_nnx
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.layers import described_layer
from analogjax.errors import ConfigError, ShapeError
from analogjax.physics import ADC, ConstantStep, FloatingPoint, Periphery
from analogjax.tile import HardwareAware, Mapping, Signal, create, update

EXACT = Periphery(adc=ADC(bound=0.0), is_perfect=True)
CONFIG = TileConfig(device=FloatingPoint(), forward=EXACT, backward=EXACT)
SIZES = {1: (7,), 2: (6, 7), 3: (4, 5, 3)}
KERNELS = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}


def torch_layer(torch, name, axes, outputs, given, weight, bias):
    words = {"strides": "stride"}
    layer = getattr(torch.nn, f"{name}{axes}d")(
        6, outputs, KERNELS[axes], **{words.get(word, word): value for word, value in given.items()}
    )
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def compared(name, axes, given, key):
    """Outputs and gradients of ours and of torch's layer with the same weights."""
    torch = pytest.importorskip("torch")
    groups, kernel = given.get("groups", 1), KERNELS[axes]
    layer = getattr(nn, f"Analog{name}{axes}d")(4, CONFIG, kernel_size=kernel, channels_first=True, **given)
    x = jax.random.normal(key, (2, 6, *SIZES[axes]))
    variables = nn.init(layer, x, random.key(1))
    weight, bias = np.array(variables.tiles["tile"].read()), np.array(variables.params["bias"])
    weight = weight.reshape(4, 6 // groups, *kernel)
    if "Transpose" in name:  # [G, O/G, C/G, k] backwards -> [C, O/G, k]
        weight = np.flip(weight, tuple(range(2, 2 + axes))).reshape(groups, 4 // groups, 6 // groups, *kernel)
        weight = np.moveaxis(weight, 2, 1).reshape(6, 4 // groups, *kernel).copy()
    theirs = torch_layer(torch, name, axes, 4, given, weight, bias)
    given_x = torch.tensor(np.array(x), requires_grad=True)
    expected = theirs(given_x)
    expected.sin().sum().backward()

    def loss(x):
        y = nn.apply(layer, variables, x, key=random.key(2))
        return jnp.sum(jnp.sin(y)), y

    (_, y), gradient = jax.value_and_grad(loss, has_aux=True)(x)
    return (y, gradient), (expected.detach().numpy(), given_x.grad.numpy())


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    "given",
    [
        {"groups": 2}, {"padding": "same", "padding_mode": "replicate"}, {"padding": "valid"},
        {"padding": "same", "dilation": 2, "padding_mode": "circular"},
        {"padding": 1, "padding_mode": "reflect", "strides": 2, "groups": 2},
    ],
)  # fmt: skip
def test_a_convolution_is_torchs(axes, given, key):
    each = {word: (value,) * axes for word, value in given.items() if word in ("strides", "dilation")}
    if given.get("padding") == 1:
        each["padding"] = (1,) * axes
    ours, theirs = compared("Conv", axes, given | each, key)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    "given", [{}, {"strides": 2, "padding": 1, "output_padding": 1}, {"groups": 2, "dilation": 2, "strides": 3}]
)
def test_a_transposed_convolution_is_torchs(axes, given, key):
    each = {word: value if word == "groups" else (value,) * axes for word, value in given.items()}
    ours, theirs = compared("ConvTranspose", axes, each, key)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [{}, {"max_input_size": 4}])
def test_each_group_has_chips_of_its_own(sizes, key):
    layer = nn.AnalogConv1d(4, TileConfig(mapping=Mapping(**sizes)), groups=2)
    tile = nn.init(layer, jnp.zeros((1, 5, 4)), key).tiles["tile"]
    assert tile.read().shape == (2, 2, 6) and tile.stack == (2,)
    assert not np.array_equal(*tile.read())


def test_signals_pulse_each_group_by_its_own_part(key):
    """Equal to two tiles of the same devices, pulsed by hand with the patches of their channels."""
    device = ConstantStep(dw_min=0.01)
    layer = nn.AnalogConv1d(4, TileConfig(device=device, forward=EXACT, backward=EXACT), groups=2)
    x = jax.random.normal(key, (3, 6, 4))
    variables = nn.init(layer, x, random.key(1))

    def loss(slots):
        return jnp.sum(jnp.sin(nn.apply(layer, variables, x, key=random.key(2), slots=slots)))

    signals = jax.grad(loss)(nn.slots(layer, variables, x))
    (signal,) = signals["tile"]
    assert signal.x.shape == (2, 3, 4, 6) and signal.d.shape == (2, 3, 4, 2)
    parts = [x[:, place : place + 3, 2 * group : 2 * group + 2] for group in (0, 1) for place in range(4)]
    dense = jnp.stack([part.swapaxes(1, 2).reshape(3, 6) for part in parts]).reshape(2, 4, 3, 6).swapaxes(1, 2)
    np.testing.assert_allclose(signal.x, dense, rtol=1e-6)
    pulsed = optim.PulsedSGD(0.1)
    tiles, _ = pulsed.update(signals, pulsed.init(variables.tiles), variables.tiles, key=random.key(3))

    # the keys of the optimiser: tile number 0, then pulses and rest, then one for each chip
    keys = jax.random.split(jax.random.split(jax.random.fold_in(random.key(3), 0))[0], 2)
    for group in (0, 1):
        alone = jax.tree.map(lambda leaf, group=group: leaf[group], variables.tiles["tile"])
        own = Signal(x=dense[group].reshape(-1, 6), d=signal.d[group].reshape(-1, 2))
        expected = update(alone, own, 0.1, key=keys[group]).read()
        np.testing.assert_allclose(tiles["tile"].read()[group], expected, atol=1e-6)
        assert not np.array_equal(expected, alone.read())


def test_a_grouped_convolution_is_a_dense_one_with_zeros_between_the_groups(key):
    layer = nn.AnalogConv2d(4, CONFIG, kernel_size=(2, 2), groups=2)
    dense = nn.AnalogConv2d(4, CONFIG, kernel_size=(2, 2))
    x = jax.random.normal(key, (2, 4, 4, 6))
    variables = nn.init(layer, x, random.key(1))
    first, second = variables.tiles["tile"].read()
    whole = jnp.zeros((4, 24)).at[:2, :12].set(first).at[2:, 12:].set(second)
    tile = create(CONFIG, (4, 24), random.key(4), whole)
    same = replace(nn.init(dense, x, random.key(1)), tiles={"tile": tile}, params=variables.params)
    np.testing.assert_allclose(
        nn.apply(layer, variables, x, key=key), nn.apply(dense, same, x, key=key), rtol=1e-5, atol=1e-5
    )


@pytest.mark.slow
def test_the_same_layers_in_nnx(key):
    x = jax.random.normal(key, (2, 5, 6, 4))
    layer = analog_nnx.AnalogConv2d(
        4, 6, (3, 2), padding="same", padding_mode="circular", groups=2, config=CONFIG, rngs=nnx.Rngs(0)
    )
    twin = nn.AnalogConv2d(6, CONFIG, kernel_size=(3, 2), padding="same", padding_mode="circular", groups=2)
    like = nn.init(twin, x, random.key(1))
    like = replace(like, tiles={"tile": layer.linear.tile.get_value()}, params={"bias": layer.linear.bias[...]})
    np.testing.assert_allclose(layer(x), nn.apply(twin, like, x, key=key), rtol=1e-5, atol=1e-6)

    back = analog_nnx.AnalogConvTranspose2d(
        4, 6, (3, 2), strides=(2, 1), output_padding=(1, 0), config=CONFIG, rngs=nnx.Rngs(0)
    )
    twin = nn.AnalogConvTranspose2d(6, CONFIG, kernel_size=(3, 2), strides=(2, 1), output_padding=(1, 0))
    like = nn.init(twin, x, random.key(1))
    like = replace(like, tiles={"tile": back.linear.tile.get_value()}, params={"bias": back.linear.bias[...]})
    np.testing.assert_allclose(back(x), nn.apply(twin, like, x, key=key), rtol=1e-5, atol=1e-6)

    loss, _, signals = analog_nnx.value_and_grad(lambda model, x: jnp.sum(jnp.sin(model(x))))(layer, x)
    tiles = analog_nnx.tiles(layer)
    pulsed = optim.PulsedSGD(0.01)
    analog_nnx.set_tiles(layer, pulsed.update(signals, pulsed.init(tiles), tiles, key=key)[0])
    assert jnp.sum(jnp.sin(layer(x))) < loss


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"groups": 3}, ConfigError, r"AnalogConv1d\(groups=3\): must divide channels=4"),
        ({"groups": 0}, ConfigError, "needs a whole number above 0"),
        ({"groups": 4}, ConfigError, "must divide features=6"),
        ({"padding": "half"}, ConfigError, "give numbers, 'same' or 'valid'"),
        ({"padding": "same", "strides": (2,)}, ConfigError, "a step other than 1 changes the size"),
        ({"padding_mode": "mirror"}, ConfigError, "known are zeros, reflect, replicate, circular"),
        ({"padding": (5,), "padding_mode": "reflect"}, ShapeError, "padding by 5 needs more than the 5 values"),
        ({"dilation": (0,)}, ConfigError, r"AnalogConv1d\(dilation=\(0,\)\): needs whole numbers of 1 or more"),
        ({"strides": (0,)}, ConfigError, r"strides=\(0,\)\): needs whole numbers of 1"),
        ({"kernel_size": (2.5,)}, ConfigError, r"kernel_size=\(2\.5,\)"),
        ({"padding": (-2,)}, ConfigError, r"padding=\(-2,\)\): needs whole numbers of 0 or more"),
        ({"config": HardwareAware(), "groups": 2}, ConfigError, "a hardware-aware layer has one group"),
    ],
)
def test_what_is_not_possible_is_told(given, error, words, key):
    with pytest.raises(error, match=words):
        nn.init(nn.AnalogConv1d(6, **{"config": CONFIG} | given), jnp.zeros((1, 5, 4)), key)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"padding": "same"}, "number of places that are left out"),
        ({"padding_mode": "reflect"}, "only zeros are around"),
        ({"output_padding": (1,)}, r"output_padding=\(1,\)\): must be smaller than the strides \(1,\)"),
        ({"strides": (1, 2)}, "tuples of one number"),
        ({"padding": (-1,)}, r"padding=\(-1,\)\): needs whole numbers of 0"),
        ({"dilation": (0,)}, "needs whole numbers of 1 or more"),
    ],
)
def test_what_a_transposed_one_can_not_do(given, words, key):
    with pytest.raises(ConfigError, match=words):
        nn.init(nn.AnalogConvTranspose1d(6, CONFIG, **given), jnp.zeros((1, 5, 4)), key)


@pytest.mark.parametrize("given", [{"strides": (0, 1)}, {"dilation": (1, 0)}, {"padding": (-1, 0)}])
def test_nnx_layers_tell_sizes_that_are_not_possible(given):
    for layer in (analog_nnx.AnalogConv2d, analog_nnx.AnalogConvTranspose2d):
        with pytest.raises(ConfigError, match=rf"{layer.__name__}\({next(iter(given))}=.*needs whole numbers of"):
            layer(2, 3, **given, rngs=nnx.Rngs(0))


def test_padding_that_leaves_nothing_is_told(key):
    """Of 3 values, a kernel of 2 gives 4 places; leaving out 2 on each side leaves none, and 3 fewer than none."""
    words = r"AnalogConvTranspose2d.*leaves nothing of items of 3x8"
    with pytest.raises(ShapeError, match=words):
        layer = nn.AnalogConvTranspose2d(2, CONFIG, kernel_size=(2, 2), padding=(3, 0))
        nn.init(layer, jnp.zeros((1, 3, 8, 4)), key)
    with pytest.raises(ShapeError, match=words):
        layer = analog_nnx.AnalogConvTranspose2d(4, 2, (2, 2), padding=(3, 0), config=CONFIG, rngs=nnx.Rngs(0))
        layer(jnp.zeros((1, 3, 8, 4)))


def test_a_batch_may_be_empty(key):
    layer = nn.AnalogConv2d(6, CONFIG, kernel_size=(3, 2), groups=2, channels_first=True)
    variables = nn.init(layer, jnp.zeros((1, 4, 5, 7)), key)
    nothing = jnp.zeros((0, 4, 5, 7))
    slots = nn.slots(layer, variables, nothing)
    signals = jax.grad(lambda slots: jnp.sum(nn.apply(layer, variables, nothing, key=key, slots=slots)))(slots)
    assert nn.apply(layer, variables, nothing, key=key).shape == (0, 6, 3, 6)
    pulsed = optim.PulsedSGD(0.1)
    after, _ = pulsed.update(signals, pulsed.init(variables.tiles), variables.tiles, key=key)
    np.testing.assert_array_equal(after["tile"].read(), variables.tiles["tile"].read())


@pytest.mark.parametrize("given", [{"groups": 2}, {"padding_mode": "reflect"}, {"padding": "same"}])
def test_what_a_description_has_no_word_for_is_not_lost(given):
    with pytest.raises(DescriptionError, match=rf"AnalogConv2d.*{next(iter(given))}"):
        described_layer(nn.AnalogConv2d(4, CONFIG, in_channels=2, **given), 0)
