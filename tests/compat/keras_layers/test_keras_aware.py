"""Hardware-aware layers in Keras: noise, clipping and remapping after steps, input ranges, any optimiser."""

import jax
import keras
import numpy as np
import pytest

from analogjax.physics.hardware_aware import AddNormal, ColumnwiseRemap, FixedClip, InputRange, LayerwiseRemap
from analogjax.tile import HardwareAware, Mapping
from compat.keras import AnalogDense, AnalogLSTM
from tests.compat.keras_layers.keras_models import EXACT_AWARE, PERFECT, X, Y, dense, same, trained

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15
NOISY = HardwareAware(modifier=AddNormal(std_dev=0.1), input_range=InputRange(init_from_data=3))


def parts(model):
    """The matrix of the first layer: its weights, and what belongs to them."""
    matrix = model.layers[0].vectors.matrix
    return np.array(matrix.weights()), jax.tree.map(np.array, matrix.tile())


@pytest.mark.parametrize("digital_bias", [True, False])
def test_weights_after_a_step_are_the_native_ones(digital_bias):
    mapping = Mapping(weight_scaling_omega=0.5, digital_bias=digital_bias)
    config = HardwareAware(forward=PERFECT, clip=FixedClip(fixed_value=0.4), remap=ColumnwiseRemap(), mapping=mapping)
    free = HardwareAware(forward=PERFECT, mapping=mapping)
    ours, plain = (dense(one) for one in (config, free))
    tile = parts(ours)[1]
    for model in (ours, plain):
        model.compile(keras.optimizers.SGD(0.5), "mse")
        model.fit(X, Y, batch_size=8, verbose=0)
    w, after = tile.after_step(parts(plain)[0])
    np.testing.assert_allclose(parts(ours)[0], w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts(ours)[1].scale, after.scale, rtol=1e-5)
    assert not np.allclose(parts(plain)[0], w)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.AdamW(0.1, weight_decay=0.5),
        keras.optimizers.Ftrl(0.1),
        keras.optimizers.Adam(0.1, gradient_accumulation_steps=2),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_no_optimizer_moves_the_output_scale(optimizer):
    config = HardwareAware(clip=FixedClip(fixed_value=0.4), mapping=Mapping(weight_scaling_omega=0.5))
    model = dense(config)
    _, before = parts(model)
    optimizer = type(optimizer).from_config(optimizer.get_config())
    w, after = parts(trained(model, optimizer, epochs=2))
    np.testing.assert_array_equal(after.scale, before.scale)
    # the largest float below the product of both roundings
    assert np.max(np.abs(w / after.scale)) <= np.float32(0.4) * (1 + 2 * np.finfo(np.float32).eps)


def test_a_layer_may_be_called_twice():
    inputs = keras.Input((4,))
    layer = AnalogDense(4, config=HardwareAware(forward=PERFECT, remap=LayerwiseRemap()))
    twin = keras.layers.Dense(4)
    ours, theirs = (keras.Model(inputs, one(one(inputs))) for one in (layer, twin))
    twin.set_weights([np.array(layer.kernel), np.zeros(4, np.float32)])
    for model in (ours, theirs):
        model.compile("sgd", "mse")
        model.fit(X, X, verbose=0)
    np.testing.assert_allclose(layer.kernel, twin.kernel, rtol=1e-5, atol=1e-6)
    scale = np.array(layer.vectors.matrix.tile().scale)
    np.testing.assert_allclose(scale, np.max(np.abs(np.array(layer.kernel))), rtol=1e-6)


def test_the_same_seed_gives_the_same_bits_and_noise_is_of_training():
    one, other = (trained(dense(NOISY), "adam", epochs=2) for _ in range(2))
    assert same(one, other)
    layer = dense(HardwareAware(forward=PERFECT, modifier=AddNormal(std_dev=0.1))).layers[0]
    np.testing.assert_array_equal(layer(X), layer(X))
    assert not np.array_equal(layer(X, training=True), layer(X, training=True))


def test_the_input_range_follows_the_data_and_is_learned_then():
    model = trained(dense(NOISY), "sgd", epochs=1)  # two batches
    matrix = model.layers[0].vectors.matrix
    tile = parts(model)[1]
    assert int(tile.range_seen) == 2 and tile.range_estimate != 3.0
    assert float(matrix.learned_range(tile)) == float(tile.range_estimate)
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    tile = parts(model)[1]
    assert int(tile.range_seen) == 4
    assert float(matrix.learned_range(tile)) != float(tile.range_estimate)


def test_a_lstm_keeps_what_it_has_seen():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3, 4)), AnalogLSTM(3, config=NOISY, kernel_regularizer="l2")])
    model.compile("adam", "mse")
    x = np.stack([X, 2 * X, X], 1)
    history = model.fit(x, Y, epochs=3, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    assert int(model.layers[0]._matrices[0].tile().range_seen) == 4  # of three steps each, and one more at the end


def test_a_layer_that_is_built_late():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = AnalogDense(5, config=EXACT_AWARE, kernel_regularizer="l2")
            self.last = AnalogDense(3, config=NOISY)

        def call(self, x, training=False):
            return self.last(self.first(x, training=training), training=training)

    keras.utils.set_random_seed(0)
    model = trained(Net(), "sgd")
    assert model.first.kernel.shape == (4, 5) and model.count_params() > 35
