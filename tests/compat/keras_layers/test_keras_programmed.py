"""Keras models on programmed chips, and what becomes of them with time."""

import keras
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import GlobalCompensation, InputRange, PCMLike
from analogjax.tile import HardwareAware, Mapping
from compat.keras import AnalogDense, AnalogLSTM, program
from tests.compat.keras_layers.keras_models import EXACT_AWARE, EXACT_PULSED, PERFECT, X, Y, dense

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15
STILL = PCMLike(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
RANGED = HardwareAware(forward=PERFECT, input_range=InputRange(), mapping=Mapping(digital_bias=False))


def sequences(config):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4, 1)), AnalogLSTM(3, config=config)])


@pytest.mark.parametrize(("make", "x"), [(dense, X), (sequences, X[..., None])], ids=["dense", "lstm"])
@pytest.mark.parametrize("config", [EXACT_PULSED, EXACT_AWARE, RANGED], ids=["pulsed", "aware", "ranged"])
def test_a_material_without_noise_reads_as_the_model(make, x, config):
    model = make(config)
    y = model.predict(x, verbose=0)
    still = program(model, STILL, key=random.key(0)).drift(0.0, key=random.key(1))
    np.testing.assert_allclose(still.predict(x, verbose=0), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.predict(x, verbose=0), y)  # as before
    other = program(model, STILL, fresh=True, key=random.key(0)).drift(0.0, key=random.key(1))
    np.testing.assert_allclose(other.predict(x, verbose=0), y, rtol=1e-4, atol=1e-5)


def test_drift_fades_and_is_compensated():
    model = dense(EXACT_AWARE)
    model.compile("adam", "mse", metrics=["mae"])
    y = model.predict(X, verbose=0)
    sizes = []
    for compensation in (None, GlobalCompensation()):
        programmed = program(model, PCMLike(prog_noise_scale=0.0), compensation, key=random.key(0))
        year = programmed.drift(3e7, key=random.key(1))
        sizes.append(np.abs(year.predict(X, verbose=0)).sum() / np.abs(y).sum())
        again = programmed.drift(3e7, key=random.key(1))
        np.testing.assert_array_equal(again.predict(X, verbose=0), year.predict(X, verbose=0))
    # exponents around 0.05: a year leaves some 0.4 of a conductance
    assert sizes[0] < 0.7 < sizes[1]
    assert len(year.evaluate(X, Y, verbose=0)) == 2


def test_programmed_chips_are_neither_trained_nor_saved_nor_programmed_again(tmp_path):
    model = dense(EXACT_AWARE)
    model.compile("sgd", "mse")
    read = program(model, STILL, key=random.key(0)).drift(0.0, key=random.key(1))
    with pytest.raises(ConfigError, match="programmed already"):
        program(read, STILL, key=random.key(0))
    with pytest.raises(ConfigError, match="save the trained model"):
        read.save(tmp_path / "model.keras")
    with pytest.raises(ConfigError, match="can't be trained"):
        read.fit(X, Y, verbose=0)


def test_what_can_not_be_programmed():
    with pytest.raises(ConfigError, match="no analog layer"):
        program(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), STILL, key=random.key(0))

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = AnalogDense(3, config=EXACT_AWARE)

        def call(self, x):
            return self.layer(x)

    model = Net()
    model(X)
    with pytest.raises(ConfigError, match="Net can't be copied"):
        program(model, STILL, key=random.key(0))
