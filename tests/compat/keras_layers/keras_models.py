"""Small models of the tests of analog Keras layers."""

import keras
import numpy as np

from analogjax.physics import Ideal, Periphery, SoftBounds
from analogjax.tile import HardwareAware, TileConfig
from compat.keras import AnalogDense, AnalogOptimizer

PERFECT = Periphery(is_perfect=True)
EXACT_PULSED = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT)
EXACT_AWARE = HardwareAware(forward=PERFECT)
SOFT = TileConfig(device=SoftBounds(dw_min=0.01))
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")


def dense(config, **options):
    """A model of one analog layer, 4 -> 3, that is the same at each call."""
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), AnalogDense(3, config=config, **options)])


def trained(model, optimizer=None, epochs=1):
    """The model after some steps on `X` and `Y`."""
    model.compile(AnalogOptimizer("sgd", 0.1) if optimizer is None else optimizer, "mse")
    model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    return model


def same(one, other):
    """Whether two models have the same weights, bit for bit."""
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)
