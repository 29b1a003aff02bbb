"""What every row of the table of layers promises: one case for each layer, one test for each promise.

The twins in torch have theirs in `tests/compat/test_compat_layer_rows.py`, over the same cases.
"""

import json
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import analogjax.nnx as door
from analogjax import nn, random
from analogjax.cloud import layers as described
from analogjax.cloud.wire import schema, tensors, training
from analogjax.errors import ShapeError
from analogjax.nn.arguments import REQUIRED
from analogjax.nn.table import LAYERS, digital_linear
from analogjax.physics import FloatingPoint, Periphery
from analogjax.testing.layers import PROMISES, About
from analogjax.tile import TileConfig
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
IDEAL = TileConfig(device=FloatingPoint(), forward=PERFECT, backward=PERFECT)
BATCH = 2

# layer -> arguments in torch's words, and the shape of one item
CASES = {
    "AnalogLinear": ({"in_features": 6, "out_features": 4}, (6,)),
    "AnalogConv1d": (
        {"in_channels": 2, "out_channels": 3, "kernel_size": [3], "stride": [2], "padding": [1], "dilation": [2]},
        (2, 9),
    ),
    "AnalogConv2d": (
        {"in_channels": 2, "out_channels": 3, "kernel_size": [2, 3], "stride": [2, 1], "padding": [1, 0],
         "dilation": [1, 2], "bias": False},
        (2, 6, 7),
    ),
    "AnalogConv3d": (
        {"in_channels": 2, "out_channels": 3, "kernel_size": [2, 1, 3], "stride": [1, 2, 1], "padding": [0, 1, 1],
         "dilation": [2, 1, 1]},
        (2, 5, 4, 4),
    ),
    "AnalogConvTranspose1d": (
        {"in_channels": 2, "out_channels": 3, "kernel_size": [3], "stride": [2], "padding": [1], "dilation": [2],
         "output_padding": [1]},
        (2, 5),
    ),
    "AnalogConvTranspose2d": (
        {"in_channels": 2, "out_channels": 3, "kernel_size": [2, 3], "stride": [2, 1], "padding": [0, 2],
         "dilation": [1, 2], "bias": False},
        (2, 4, 3),
    ),
    "AnalogConvTranspose3d": (
        {"in_channels": 2, "out_channels": 3, "kernel_size": [2, 1, 3], "stride": [1, 2, 1], "padding": [0, 0, 1]},
        (2, 3, 2, 4),
    ),
    "Linear": ({"in_features": 6, "out_features": 4}, (6,)),
    "MaxPool2d": ({"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1], "ceil_mode": True}, (2, 7, 6)),
    "Flatten": ({}, (2, 3, 4)),
    "Unflatten": ({"unflattened_size": [2, 3, 4]}, (24,)),
    "Identity": ({}, (3, 4)),
    **{name: ({}, (5,)) for name in ("Sigmoid", "Tanh", "ReLU", "LogSigmoid", "SiLU")},
    "LeakyReLU": ({"negative_slope": 0.2}, (5,)),
    "ELU": ({"alpha": 0.5}, (5,)),
    "GELU": ({"approximate": False}, (5,)),
    **{name: ({"dim": 1}, (5,)) for name in ("Softmax", "LogSoftmax")},
}  # fmt: skip
ROWS = {row.name: row for row in LAYERS if row.simulated}
ANALOG = [name for name, row in ROWS.items() if row.analog]
every_layer = pytest.mark.parametrize("name", ROWS)
every_analog_layer = pytest.mark.parametrize("name", ANALOG)


def complete(name):
    """The arguments of a case, complete, and the shape of an item."""
    arguments, item = CASES[name]
    return described.check_layer({"type": name} | arguments, "here")[1], item


def made(name, config=IDEAL, channels_first=True):
    """The native layer of a case, and a batch that it takes."""
    arguments, item = complete(name)
    more = {"config": config} if ROWS[name].analog else {}
    shape = item if channels_first else (*item[1:], item[0])
    x = random.normal(random.key(1), (BATCH, *shape))
    return ROWS[name].build(arguments, channels_first=channels_first, **more), x


def about(name):
    """The layer of a case, and what it should compute, channels first."""
    layer, x = made(name)
    arguments, matrix = complete(name)[0], ROWS[name].matrix

    def digital(weights, params, x):
        w = weights["tile"]
        bias = params.get("bias", jnp.zeros(len(w)))
        if matrix.kernel is None:
            return x @ w.T + bias
        axes, kernel = "DHW"[-len(arguments["kernel_size"]) :], arguments["kernel_size"]
        steps, spread, around = arguments["stride"], None, [(n, n) for n in arguments["padding"]]
        if "output_padding" in arguments:  # a convolution over items with zeros between their values
            steps, spread = (1,) * len(axes), steps
            sizes = zip(kernel, arguments["padding"], arguments["dilation"], arguments["output_padding"], strict=True)
            around = [(apart * (k - 1) - n, apart * (k - 1) - n + more) for k, n, apart, more in sizes]
        y = lax.conv_general_dilated(
            x, w.reshape(len(w), x.shape[1], *kernel), steps, around, spread, rhs_dilation=arguments["dilation"],
            dimension_numbers=(f"NC{axes}", f"OI{axes}", f"NC{axes}"), precision="highest",
        )  # fmt: skip
        return y + jnp.reshape(bias, (-1, *(1 for _ in axes)))

    return About(layer, x, digital)


def test_every_layer_has_a_case():
    assert set(CASES) == set(ROWS)


@every_layer
@pytest.mark.parametrize("channels_first", [False, True])
def test_the_shape_is_the_one_that_was_told_beforehand(name, channels_first):
    arguments, item = complete(name)
    model, x = nn.Sequential(made(name, channels_first=channels_first)[0]), made(name, channels_first=channels_first)[1]

    def run(x, key):
        return nn.apply(model, nn.init(model, x, key), x, key=key)

    expected = ROWS[name].shape(arguments, item)
    expected = expected if channels_first else (*expected[1:], expected[0])
    assert jax.eval_shape(run, x, random.key(0)).shape == (BATCH, *expected)


@every_layer
def test_its_description_goes_there_and_back(name):
    arguments, _ = complete(name)
    again = json.loads(json.dumps({"type": name} | arguments))
    assert described.check_layer(again, "here") == (name, arguments)
    layer = described.build(name, arguments, False)
    if ROWS[name].module is digital_linear:  # starts otherwise than any layer of a native model
        with pytest.raises(described.DescriptionError, match="can't be described"):
            described.described_layer(layer, 0)
        return
    told = json.loads(json.dumps(described.described_layer(layer, 0)))
    assert described.check_layer(told, "here") == (name, arguments)
    assert described.build(name, arguments, False) == layer  # models made alike share what was compiled


@every_layer
def test_the_other_layout_is_not_described_as_this_one(name):
    layer = ROWS[name].build(complete(name)[0], channels_first=True, **({"config": IDEAL} if name in ANALOG else {}))
    assert (ROWS[name].described(layer) is None) == (ROWS[name].has_channels or name == "Linear")


@every_layer
def test_items_that_do_not_fit_are_refused_with_the_reason(name):
    arguments, item = complete(name)
    for wrong in ((), (*item, 3), (item[0] + 1, *item[1:])):
        try:
            after = described.shape_after(name, arguments, wrong, "here")
        except described.DescriptionError as error:
            assert f"here: {name} gets items of shape {wrong}, but " in str(error)
        else:
            assert ROWS[name].matrix is None and min(after, default=1) > 0


@every_layer
def test_arguments_that_it_does_not_know_are_refused(name):
    given, row = {"type": name} | CASES[name][0], ROWS[name]
    for argument in row.arguments:
        with pytest.raises(described.DescriptionError, match=rf"here: {name}\.{argument}: 'x\[' is not"):
            described.check_layer(given | {argument: "x["}, "here")
    with pytest.raises(described.DescriptionError, match=f"{name} has no argument 'qwertz'"):
        described.check_layer(given | {"qwertz": 1}, "here")
    needed = [argument for argument, one in row.arguments.items() if one.default is REQUIRED]
    for argument in needed:
        with pytest.raises(described.DescriptionError, match=f"here: {name} needs {argument}"):
            described.check_layer({key: value for key, value in given.items() if key != argument}, "here")


@every_analog_layer
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_promise(name, promise):
    promise(about(name))


@every_analog_layer
def test_its_matrix_has_the_size_that_the_row_says(name):
    arguments, matrix = complete(name)[0], ROWS[name].matrix
    chips = about(name).variables().tiles["tile"]
    assert chips.read().shape == (arguments[matrix.outputs], matrix.inputs(arguments))
    assert chips.read().size == math.prod(matrix.sizes(arguments))


@every_analog_layer
def test_its_trained_weights_travel_to_the_bit(name):
    arguments, item = complete(name)
    layer, x = made(name, TileConfig())
    model = nn.Sequential(layer)
    there = SimpleNamespace(layers=((name, arguments),), model=lambda: model, sample=lambda: x[:1])
    variables = jax.jit(lambda key: nn.init(model, x, key))(random.key(2))
    payload = training.output(there, [], tensors.weights_of(there, variables))
    assert schema.training().TrainingOutput.FromString(payload).network.layers[0].layer.id == name
    assert_same_bits(tensors.variables_of(there, training.weights_in(payload)), variables)
    assert item == x.shape[1:]


@pytest.mark.parametrize("name", [name for name in ANALOG if name in vars(door)])
def test_the_layer_of_nnx_gives_the_same_numbers(name):
    arguments, _ = complete(name)
    matrix, (layer, x) = ROWS[name].matrix, made(name, channels_first=False)
    words = {one.native: arguments[word] for word, one in ROWS[name].arguments.items()}
    sizes = {word: words.pop(word) for word in (matrix.channels, "features")}
    twin = getattr(door, name)(*sizes.values(), **words, config=IDEAL, rngs=door.layers.nnx.Rngs(0))
    linear = getattr(twin, "linear", twin)
    params = {} if linear.bias is None else {"layers_0": {"bias": linear.bias[...]}}
    variables = nn.Variables(params, {"layers_0": {"tile": linear.tile.get_value()}})
    assert_close(twin(x), nn.apply(nn.Sequential(layer), variables, x, key=random.key(0)))


@pytest.mark.parametrize("name", [name for name in ANALOG if "Conv" in name])
def test_one_channel_needs_no_axis(name):
    arguments, item = complete(name)
    layer = ROWS[name].build(arguments | {"in_channels": None}, channels_first=True, config=IDEAL)
    x = random.normal(random.key(1), (BATCH, *item[1:]))
    model = nn.Sequential(layer)
    variables = nn.init(model, x, random.key(2))
    run = jax.jit(lambda x: nn.apply(model, variables, x, key=random.key(3)))
    assert np.array_equal(run(x), run(x[:, None]))
    with pytest.raises(ShapeError, match=f"{name} at .*: got x of shape .*; give a batch of"):
        nn.init(model, x[0, 0] if x.ndim > 2 else x[0], random.key(0))
