"""Keras models: warnings that are true, losses of one's own, and a backend that is there."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from aitoolbox.experiment.experiment_saver import FullKerasExperimentS3Saver  # noqa: E402
from aitoolbox.experiment.local_experiment_saver import FullKerasExperimentLocalSaver  # noqa: E402

from compat.aitoolbox.store.errors import UnknownObject, UnsafeFile  # noqa: E402

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15
X, Y = np.arange(6.0).reshape(2, 3), np.ones((2, 1))


def by_hand(truth, guess):
    return keras.ops.mean((truth - guess) ** 4)


class Quartic(keras.losses.Loss):
    def call(self, truth, guess):
        return keras.ops.mean((truth - guess) ** 4)


class Scaled(keras.layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


def functional(layer=keras.layers.Dense):
    inputs = keras.layers.Input((3,))
    return keras.Model(inputs, layer(1)(inputs))


class Grown(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


def trained(model, loss="mse", **options):
    model.compile("adam", loss, **options)
    model.fit(X, Y, verbose=0)
    return model


@pytest.mark.parametrize("model_format", ["h5", "keras"])
@pytest.mark.parametrize(
    "make",
    [
        functional,
        lambda: keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)]),
        lambda: keras.Model(*[functional().input] * 2),
        lambda: keras.models.clone_model(functional()),
    ],
)
def test_a_model_that_can_be_loaded_is_saved_without_a_warning(tmp_path, package, make, model_format):
    saver = FullKerasExperimentLocalSaver("p", "e", str(tmp_path), model_format=model_format)
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        saver.save_experiment(model, package(), None, "1")
        again = saver.load_experiment().model
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


def test_the_warning_names_an_argument_that_there_is(tmp_path, package):
    model = Grown()
    model(X)
    with pytest.warns(UserWarning, match=r"Grown is a subclassed model.*model_format='keras'"):
        FullKerasExperimentLocalSaver("p", "e", str(tmp_path)).save_experiment(model, package(), None, "1")
    saver = FullKerasExperimentLocalSaver("p", "e", str(tmp_path), model_format="keras")
    saver.save_experiment(model, package(), None, "2")
    again = saver.load_experiment(custom_objects={"Grown": Grown}).model
    np.testing.assert_array_equal(again(X), model(X))


@pytest.mark.parametrize("model_format", ["h5", "keras"])
@pytest.mark.parametrize(
    ("make", "loss", "objects"),
    [
        (functional, by_hand, {"by_hand": by_hand}),
        (functional, Quartic(name="quartic"), {"quartic": Quartic, "Quartic": Quartic}),
        (lambda: functional(Scaled), "mse", {"Scaled": Scaled}),
    ],
)
def test_parts_of_ones_own(tmp_path, package, make, loss, objects, model_format):
    model = trained(make(), loss)
    saver = FullKerasExperimentLocalSaver("p", "e", str(tmp_path), model_format=model_format)
    saver.save_experiment(model, package(), None, "1")
    with pytest.raises(UnknownObject, match=r"model_e_1\.\w+ was not loaded.*custom_objects=.*compile=False"):
        saver.load_experiment()
    again = saver.load_experiment(custom_objects=objects).model
    assert int(again.optimizer.iterations) == 1
    for one in (model, again):
        one.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("name", ["by_hand", "quartic"])
def test_the_error_of_an_h5_names_the_loss(tmp_path, package, name):
    saver = FullKerasExperimentLocalSaver("p", "e", str(tmp_path))
    model = trained(
        functional(), by_hand if name == "by_hand" else Quartic(name="quartic"), metrics=["accuracy", "mae"]
    )
    saver.save_experiment(model, package(), None, "1")
    with pytest.raises(UnknownObject, match=rf"custom_objects={{'{name}': \.\.\.}}"):
        saver.load_experiment()
    again = saver.load_experiment(compile=False).model
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_a_lambda_as_loss(tmp_path, package):
    for model_format, error in [("h5", UnknownObject), ("keras", UnsafeFile)]:
        model = trained(functional(), lambda truth, guess: keras.ops.mean(truth - guess))
        saver = FullKerasExperimentLocalSaver("p", model_format, str(tmp_path), model_format=model_format)
        saver.save_experiment(model, package(), None, "1")
        with pytest.raises(error):
            saver.load_experiment()
        assert saver.load_experiment(compile=False).model.count_params() == 4


def test_a_bucket_takes_the_same_options(s3_server, tmp_path, package):
    bucket, options = s3_server.bucket(), {"storage_options": s3_server.options}
    saver = FullKerasExperimentS3Saver("p", "e", bucket, "", str(tmp_path), **options)
    saver.save_experiment(trained(functional(), by_hand), package(), None, "1")
    with pytest.raises(UnknownObject, match=r"s3://bucket.*p/e_1/model/model_e_1\.h5 was not loaded.*by_hand"):
        saver.load_experiment()
    assert saver.load_experiment(custom_objects={"by_hand": by_hand}).model.loss is by_hand
    with pytest.raises(ValueError, match="like is not an option of models that Keras"):
        saver.load_experiment(like={})


def started(program, **env):
    without = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['tensorflow'] = None\n" + program],
        cwd=ROOT, capture_output=True, text=True, env={**without, **env},
    )  # fmt: skip


NO_TENSORFLOW = (
    "import importlib.util as u; find = u.find_spec\n"
    "u.find_spec = lambda name, *more: None if name == 'tensorflow' else find(name, *more)\n"
)


def test_without_tensorflow_keras_runs_on_jax(tmp_path):
    program = (
        NO_TENSORFLOW + "import compat; compat.install(torchvision=False)\nimport keras; print(keras.backend.backend())"
    )
    done = started(program, KERAS_HOME=str(tmp_path))
    assert done.stdout.split() == ["jax"], done.stderr
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    assert started(program, KERAS_HOME=str(tmp_path)).stdout.split() == ["jax"]


def test_a_backend_that_was_chosen_stays(tmp_path):
    program = (
        NO_TENSORFLOW + "import os, compat; compat.install(torchvision=False); print(os.environ.get('KERAS_BACKEND'))"
    )
    assert started(program, KERAS_BACKEND="torch").stdout.split() == ["torch"]
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert started(program, KERAS_HOME=str(tmp_path)).stdout.split() == ["None"]


def test_a_backend_that_is_missing_is_named():
    program = (
        "from compat.aitoolbox.store import keras_file\n"
        "try:\n    keras_file.load_keras()\nexcept ImportError as error:\n    print(error)"
    )
    done = started(NO_TENSORFLOW + program, KERAS_BACKEND="tensorflow")
    assert "set KERAS_BACKEND=jax" in done.stdout, done.stdout + done.stderr
