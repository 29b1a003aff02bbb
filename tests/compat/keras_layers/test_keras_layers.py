"""Analog layers on exact chips are those of Keras: outputs, and weights after steps."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from analogjax.tile import Mapping
from compat.keras import AnalogConv2D, AnalogDense, AnalogLSTM, AnalogOptimizer
from tests.compat.keras_layers.keras_models import EXACT_AWARE, EXACT_PULSED

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15
RNG = np.random.default_rng(0)
VECTORS, IMAGES, SEQUENCES = (RNG.normal(size=size).astype("float32") for size in ((6, 4), (2, 7, 8, 2), (2, 5, 4)))
L = keras.layers


def weights_of(layer):
    """Kernel and bias of a layer, of ours or of Keras's, in Keras's layout."""
    cell = getattr(layer, "cell", layer)
    names = ("kernel", "recurrent_kernel", "bias")
    return [np.array(getattr(cell, name)) for name in names if getattr(cell, name, None) is not None]


def pair(analog, digital, x, config, **options):
    """A model of an analog layer, and one of Keras's with its weights."""
    keras.utils.set_random_seed(0)
    layers = analog(**options, config=config), digital(**options)
    models = [keras.Sequential([keras.Input(x.shape[1:]), layer]) for layer in layers]
    models[0].layers[0].bias.assign(RNG.normal(size=models[0].layers[0].bias.shape))
    models[1].layers[0].set_weights(weights_of(models[0].layers[0]))
    return models


@pytest.mark.parametrize("config", [EXACT_AWARE, EXACT_PULSED], ids=["aware", "pulsed"])
@pytest.mark.parametrize(
    ("analog", "digital", "x", "options"),
    [
        (AnalogDense, L.Dense, VECTORS, {"units": 5, "activation": "relu"}),
        (AnalogConv2D, L.Conv2D, IMAGES, {"filters": 3, "kernel_size": (3, 2), "padding": "same", "strides": 2}),
        (AnalogConv2D, L.Conv2D, IMAGES, {"filters": 3, "kernel_size": 3, "dilation_rate": (2, 1)}),
        (AnalogLSTM, L.LSTM, SEQUENCES, {"units": 3}),
        (AnalogLSTM, L.LSTM, SEQUENCES, {"units": 3, "return_sequences": True, "go_backwards": True}),
    ],
)
def test_exact_chips_are_kerass_layer(analog, digital, x, options, config):
    ours, theirs = pair(analog, digital, x, config, **options)
    y = theirs.predict(x, verbose=0)
    assert ours.output_shape == theirs.output_shape
    np.testing.assert_allclose(ours.predict(x, verbose=0), y, rtol=1e-5, atol=1e-6)
    ours.compile(AnalogOptimizer("sgd", 0.01) if config is EXACT_PULSED else "sgd", "mse")
    theirs.compile("sgd", "mse")
    for model in (ours, theirs):
        model.fit(x, np.ones_like(y), batch_size=len(x), epochs=2, verbose=0)
    for one, other in zip(weights_of(ours.layers[0]), weights_of(theirs.layers[0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_masks_states_and_channels_first():
    x = SEQUENCES.copy()
    x[0, 3:] = x[1, :2] = 0
    state = [RNG.normal(size=(2, 3)).astype("float32") for _ in range(2)]
    options = {"units": 3, "return_sequences": True, "return_state": True}
    ours, theirs = pair(AnalogLSTM, L.LSTM, x, EXACT_AWARE, **options)
    mask = np.any(x != 0, -1)
    for one, other in zip(
        ours.layers[0](x, mask=mask, initial_state=state), theirs.layers[0](x, mask=mask, initial_state=state),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    masked = keras.Sequential([L.Masking(), AnalogLSTM(2, config=EXACT_AWARE), L.Dense(1)])
    assert masked(x).shape == (2, 1)
    layers = [AnalogConv2D(3, 3, config=EXACT_AWARE, data_format=one) for one in ("channels_last", "channels_first")]
    first = np.moveaxis(IMAGES, -1, 1)
    y = [layer(images) for layer, images in zip(layers, (IMAGES, first), strict=True)]
    assert y[1].shape == layers[1].compute_output_shape(first.shape) == (2, 3, 5, 6)
    layers[1].set_weights(layers[0].get_weights())
    np.testing.assert_allclose(np.moveaxis(layers[1](first), 1, -1), y[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", [EXACT_AWARE, EXACT_PULSED], ids=["aware", "pulsed"])
def test_both_directions(config):
    keras.utils.set_random_seed(0)
    ours = keras.Sequential([keras.Input((5, 4)), L.Bidirectional(AnalogLSTM(3, config=config))])
    theirs = keras.Sequential([keras.Input((5, 4)), L.Bidirectional(L.LSTM(3))])
    pairs = [(getattr(ours.layers[0], n), getattr(theirs.layers[0], n)) for n in ("forward_layer", "backward_layer")]
    for one, other in pairs:
        other.set_weights(weights_of(one))
    for model in (ours, theirs):
        model.compile(AnalogOptimizer("sgd", 0.01) if model is ours else "sgd", "mse")
        model.fit(SEQUENCES, np.ones((2, 6)), verbose=0)
    for one, other in pairs:
        for weights in zip(weights_of(one), weights_of(other), strict=True):
            np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6)


def test_an_analog_bias_is_a_column_of_the_matrix():
    for config in (EXACT_AWARE, EXACT_PULSED):
        layer = AnalogDense(3, config=replace(config, mapping=Mapping(digital_bias=False)), bias_initializer="ones")
        y = layer(VECTORS)
        assert layer.bias is None
        np.testing.assert_allclose(y, VECTORS @ np.array(layer.kernel) + 1, rtol=1e-5, atol=1e-6)
