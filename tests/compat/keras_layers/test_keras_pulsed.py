"""Pulsed layers in Keras: the optimiser, what it refuses, and what training leaves in the devices."""

import keras
import numpy as np
import pytest

from analogjax.data.digits import FILE, read_digits
from analogjax.errors import ConfigError, GradientError, SlotError
from analogjax.physics import ConstantStep, SoftBounds
from analogjax.physics.compounds import tiki_taka
from analogjax.tile import HardwareAware, TileConfig
from compat.keras import AnalogDense, AnalogLSTM, AnalogOptimizer
from compat.keras.stored import from_float, to_float
from tests.compat.keras_layers.keras_models import SOFT, X, Y, dense, same, trained

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15


def chips(model, layer=0):
    return model.layers[layer].vectors.matrix.chips()


def rate(model):
    return float(model.layers[0].vectors.matrix.rate.value)


@pytest.mark.slow
def test_it_learns_digits():
    x, y = read_digits((FILE,), True)
    keras.utils.set_random_seed(3)
    layers = [keras.Input((8, 8)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    model = keras.Sequential([*layers, AnalogDense(10, config=SOFT, activation="softmax")])
    model.compile(AnalogOptimizer("adam", 0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=4, verbose=0)
    test = read_digits((FILE,), False)
    right = model.evaluate(*test, verbose=0)[1] * len(test[1])
    # guessing has 36 right of 360, with a standard deviation of 5.7
    assert right > 36 + 30 * 5.7


def test_the_same_seed_gives_the_same_bits():
    one, other = (trained(dense(SOFT), epochs=2) for _ in range(2))
    assert same(one, other)
    np.testing.assert_array_equal(one.predict(X, verbose=0), other.predict(X, verbose=0))
    assert not np.array_equal(one.predict(X, verbose=0), one.predict(X, verbose=0))  # each read has noise of its own


def test_devices_stay_exactly_within_their_bounds():
    config = TileConfig(device=ConstantStep(dw_min=0.05))
    model = trained(dense(config), AnalogOptimizer("sgd", 20.0), epochs=3)
    chip = chips(model)
    w, low, high = (np.array(part) for part in (chip.state.w, chip.cells["min_bound"], chip.cells["max_bound"]))
    assert np.all((w >= low) & (w <= high)) and np.any((w == low) | (w == high))


@pytest.mark.parametrize("seed", [0, 1])
def test_whole_numbers_pass_as_floats(seed):
    limits = np.iinfo(np.int32)
    whole = np.random.default_rng(seed).integers(limits.min, limits.max, 50).astype(np.int32)
    whole[:4] = limits.min, limits.max, -1, 0
    np.testing.assert_array_equal(from_float(to_float(whole), whole.dtype), whole)
    np.testing.assert_array_equal(from_float(to_float(whole > 0), np.dtype(bool)), whole > 0)


def test_counters_of_a_compound_count():
    model = dense(TileConfig(device=tiki_taka((SoftBounds(), SoftBounds()))))
    assert int(chips(model).state.clock) == 0
    trained(model, epochs=2)
    assert int(chips(model).state.clock) == 2 * len(X)  # vectors


def test_only_what_was_read_is_pulsed():
    inputs = keras.Input((4,))
    used, unused = (AnalogDense(3, config=SOFT, name=name) for name in ("used", "unused"))
    model = keras.Model(inputs, [used(inputs), unused(inputs)])
    kernels = [np.array(layer.kernel) for layer in (used, unused)]
    model.compile(AnalogOptimizer("sgd", 0.5), ["mse", None])
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(used.kernel, kernels[0])
    np.testing.assert_array_equal(unused.kernel, kernels[1])


def test_a_frozen_layer_stays():
    model = dense(SOFT)
    model.add(keras.layers.Dense(3))
    model.layers[0].trainable = False
    before = np.array(model.layers[0].kernel), np.array(model.layers[1].kernel)
    trained(model, "sgd")  # there is nothing to pulse
    np.testing.assert_array_equal(model.layers[0].kernel, before[0])
    assert not np.array_equal(model.layers[1].kernel, before[1])


def test_the_rate_is_that_of_the_optimizer():
    model = trained(dense(SOFT), AnalogOptimizer("sgd", 0.0))
    kernel = np.array(model.layers[0].kernel)
    np.testing.assert_array_equal(kernel, dense(SOFT).layers[0].kernel)
    model.optimizer.learning_rate = 0.5
    assert rate(model) == 0.5
    seen = []
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.25 * (epoch + 1)),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(rate(model))),
    ]
    model.fit(X, Y, epochs=2, callbacks=callbacks, verbose=0)
    assert seen == [0.25, 0.5]
    halved = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    trained(model, AnalogOptimizer("sgd", halved))
    assert rate(model) == 0.5**3  # of the step to come, after two


def test_a_lstm_is_trained_by_pulses():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3, 2)), AnalogLSTM(3, config=SOFT)])
    layer = model.layers[0]
    before = np.array(layer.kernel), np.array(layer.recurrent_kernel)
    model.compile(AnalogOptimizer("sgd", 1.0), "mse")
    model.fit(np.ones((4, 3, 2)), np.ones((4, 3)), verbose=0)
    assert not np.array_equal(layer.kernel, before[0]) and not np.array_equal(layer.recurrent_kernel, before[1])


def test_an_ordinary_optimizer_is_refused():
    with pytest.raises(GradientError, match=r"analog_dense.*moved by pulses.*compat\.keras\.AnalogOptimizer"):
        trained(dense(SOFT), "adam")
    model = trained(dense(SOFT))
    with pytest.raises(ConfigError, match=r"analog_dense.*ordinary Keras optimiser.*AnalogOptimizer"):
        trained(model, "adam")


def test_a_layer_is_called_once_in_a_step():
    inputs = keras.Input((4,))
    layer = AnalogDense(4, config=SOFT)
    model = keras.Model(inputs, layer(layer(inputs)))
    assert model.predict(X, verbose=0).shape == X.shape
    model.compile(AnalogOptimizer("sgd", 0.1), "mse")
    with pytest.raises(SlotError, match="twice in one training step"):
        model.fit(X, X, verbose=0)


class Cell(keras.layers.Layer):
    """A recurrent cell of one's own, with an analog layer."""

    state_size = 3

    def __init__(self):
        super().__init__()
        self.dense = AnalogDense(3, config=SOFT)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x, states, training=False):
        h = self.dense(x, training=training) + states[0]
        return h, [h]


class Mapped(keras.layers.Layer):
    """An analog layer for each item of a batch."""

    def __init__(self):
        super().__init__()
        self.dense = AnalogDense(3, config=SOFT)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x, training=False):
        return keras.ops.vectorized_map(lambda item: self.dense(item, training=training), x)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Mapped, "inside of a transformation"),
        (lambda: keras.layers.RNN(Cell(), return_sequences=True), "inside of a transformation"),
        (lambda: keras.layers.TimeDistributed(AnalogDense(3, config=SOFT)), "twice in one training step"),
    ],
    ids=["vmap", "scan", "loop"],
)
def test_a_layer_inside_of_a_loop_is_refused(make, told):
    model = keras.Sequential([keras.Input((2, 4)), make()])
    model.compile(AnalogOptimizer("sgd", 0.1), "mse")
    with pytest.raises(SlotError, match=told):
        model.fit(np.ones((4, 2, 4)), np.ones((4, 2, 3)), verbose=0)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: AnalogOptimizer(keras.optimizers.SGD(loss_scale_factor=2.0)), "loss_scale_factor of SGD"),
        (lambda: AnalogOptimizer(keras.optimizers.SGD(gradient_accumulation_steps=2)), "gradient_accumulation_steps"),
        (lambda: AnalogOptimizer(keras.optimizers.Adam(use_ema=True)), "use_ema of Adam"),
        (lambda: AnalogOptimizer(AnalogOptimizer()), "AnalogOptimizer does not go with pulses"),
        (lambda: keras.optimizers.LossScaleOptimizer(AnalogOptimizer()), "can't be put into a LossScaleOptimizer"),
        (lambda: AnalogDense(3, config=SOFT, kernel_regularizer="l2"), "kernel_regularizer"),
        (lambda: AnalogDense(3, config=SOFT, kernel_constraint="non_neg"), "kernel_constraint='non_neg'.*clip"),
        (lambda: AnalogDense(3, lora_rank=2), "lora_rank=2.*digitally"),
        (lambda: AnalogDense(3, config="soft"), "config='soft'.*TileConfig or a HardwareAware"),
        (lambda: AnalogDense(0), "units=0"),
        (lambda: AnalogDense(3, seed=-1), "seed=-1"),
        (lambda: AnalogDense(3, config=SOFT, dtype="mixed_float16"), "float16"),
        (lambda: AnalogLSTM(3, recurrent_dropout=0.5), r"recurrent_dropout=0\.5"),
        (lambda: AnalogLSTM(3, stateful=True), "stateful=True.*initial_state"),
    ],
)
def test_what_does_not_go_with_chips_is_refused(make, told):
    with pytest.raises(ConfigError, match=told):
        make()


def test_what_changes_nothing_is_not():
    layer = AnalogLSTM(3, use_cudnn="auto", dropout=0.0, implementation=2, config=HardwareAware(), name="mine")
    assert layer.name == "mine"
