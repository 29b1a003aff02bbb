"""Analog Keras models saved and loaded: the same chips, which go on as if nothing had been."""

import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import keras
import numpy as np
import pytest

from analogjax.errors import ConfigError
from analogjax.physics import SoftBounds
from analogjax.physics.hardware_aware import AddNormal, GaussianClip, InputRange
from analogjax.tile import HardwareAware, Mapping, TileConfig
from compat.aitoolbox.store import keras_file
from compat.keras import AnalogConv2D, AnalogDense, AnalogLSTM, AnalogOptimizer
from tests.compat.keras_layers.keras_models import SOFT, X, Y, dense, same, trained

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # inside Keras 3.15
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]
AWARE = HardwareAware(
    modifier=AddNormal(std_dev=0.1), clip=GaussianClip(sigma=2.0), input_range=InputRange(init_from_data=3),
    mapping=Mapping(learn_out_scaling=True),
)  # fmt: skip
ROOT = Path(__file__).parents[3]


def mixed():
    """A model with every kind of layer, both ways of training, and a step behind it."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((4, 4, 1)), AnalogConv2D(2, 3, config=SOFT, activation="relu"), keras.layers.Reshape((4, 2)),
        AnalogLSTM(3, config=AWARE), AnalogDense(3, config=SOFT),
    ]  # fmt: skip
    model = keras.Sequential(layers)
    model.compile(AnalogOptimizer(keras.optimizers.Adam(0.01), 0.1), "mse")
    model.fit(IMAGES, Y, verbose=0)
    return model


IMAGES = np.random.default_rng(2).normal(size=(8, 4, 4, 1)).astype("float32")


def goes_on_as(one, other, x=IMAGES):
    assert same(one, other)
    for model in (one, other):
        model.fit(x, Y, shuffle=False, verbose=0)
    assert same(one, other)
    np.testing.assert_array_equal(one.predict(x, verbose=0), other.predict(x, verbose=0))


def test_a_model_file(tmp_path):
    model = mixed()
    model.save(tmp_path / "model.keras")
    goes_on_as(model, keras.models.load_model(tmp_path / "model.keras"))


@pytest.mark.parametrize("model_format", ["h5", "keras"])
def test_the_experiment_saver(tmp_path, model_format):
    from aitoolbox.experiment.local_experiment_saver import FullKerasExperimentLocalSaver
    from aitoolbox.experiment.result_package.abstract_result_packages import PreCalculatedResultPackage

    package = PreCalculatedResultPackage({"accuracy": 0.5})
    package.y_true, package.y_predicted = [0, 1], [1, 1]
    model = trained(dense(SOFT), AnalogOptimizer("adam", 0.1))
    saver = FullKerasExperimentLocalSaver("p", "e", str(tmp_path), model_format=model_format)
    saver.save_experiment(model, package, None, "1")
    goes_on_as(model, saver.load_experiment().model, X)


@pytest.mark.slow
def test_a_saved_model_is_read_where_nobody_has_imported_the_layers(tmp_path):
    model = trained(dense(SOFT))
    for name in ("model.h5", "model.keras"):
        keras_file.write(tmp_path / name, model)
        read = f"from compat.aitoolbox.store import keras_file; print(keras_file.read({str(tmp_path / name)!r}).layers)"
        elsewhere = started(read)
        assert "AnalogDense" in elsewhere.stdout, elsewhere.stderr
        elsewhere = started(read, KERAS_BACKEND="numpy")
        assert "Keras runs on numpy" in elsewhere.stderr.splitlines()[-1]


def test_weights_alone(tmp_path):
    model, other = dense(AWARE), dense(AWARE, seed=7)
    assert not same(model, other)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert same(model, other)
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("config", [SOFT, AWARE, TileConfig(device=SoftBounds(), mapping=Mapping(max_input_size=3))])
def test_the_arguments_come_back(config):
    for layer in (
        AnalogDense(3, config=config, activation="relu", seed=5, bias_regularizer="l2"),
        AnalogConv2D(2, (3, 1), config=config, strides=2, padding="same", data_format="channels_first"),
        AnalogLSTM(3, config=config, return_sequences=True, unit_forget_bias=False, recurrent_activation="relu"),
    ):
        again = type(layer).from_config(layer.get_config())
        assert again.config == config and again.get_config() == layer.get_config()


def test_a_configuration_of_arrays_is_refused():
    layer = AnalogDense(3, config=TileConfig(device=SoftBounds(dw_min=jnp.array(0.01))))
    with pytest.raises(ConfigError, match=r"AnalogDense.*can't be written.*save_weights"):
        layer.get_config()


def test_a_summary(capsys):
    model = dense(SOFT)
    model.summary()
    assert "AnalogDense" in capsys.readouterr().out


def started(program, **env):
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **env}
    )


@pytest.mark.slow
def test_another_backend_is_refused():
    done = started("import compat.keras", KERAS_BACKEND="numpy")
    assert "Keras runs on numpy" in done.stderr and "KERAS_BACKEND=jax" in done.stderr


def test_without_keras_the_error_says_what_to_install():
    done = started("import sys; sys.modules['keras'] = None\nimport compat.keras")
    assert 'pip install "analogjax[keras]"' in done.stderr
