"""Keras 3 layers whose matrices are stored on analog chips, on Keras's JAX backend.

    from compat.keras import AnalogDense, AnalogOptimizer
    model = keras.Sequential([keras.Input((64,)), AnalogDense(10, config=TileConfig(device=SoftBounds()))])
    model.compile(AnalogOptimizer("adam", learning_rate=0.1), "sparse_categorical_crossentropy")
    model.fit(x, y)

With a `HardwareAware` configuration any Keras optimiser trains the layers; those with a `TileConfig` are trained by
pulses, for which there is `AnalogOptimizer`. Importing this package imports Keras, with JAX as its backend unless
another one is chosen, which is an error.
"""

from compat import keras_backend

keras_backend.load_on_jax()

from compat.keras.conv import AnalogConv2D as AnalogConv2D  # noqa: E402 - the backend comes first
from compat.keras.dense import AnalogDense as AnalogDense  # noqa: E402
from compat.keras.optimizer import AnalogOptimizer as AnalogOptimizer  # noqa: E402
from compat.keras.programming import ProgrammedModel as ProgrammedModel  # noqa: E402
from compat.keras.programming import program as program  # noqa: E402
from compat.keras.recurrent import AnalogLSTM as AnalogLSTM  # noqa: E402
