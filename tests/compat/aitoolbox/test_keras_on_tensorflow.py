"""The Keras savers with TensorFlow below Keras (extra `tf`); elsewhere Keras runs on JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys, warnings
import numpy as np
import keras
from aitoolbox.experiment.local_experiment_saver import FullKerasExperimentLocalSaver
from aitoolbox.experiment.result_package.basic_packages import RegressionResultPackage
from aitoolbox.experiment.training_history import TrainingHistory

warnings.simplefilter("ignore")  # Keras's own, about .h5
assert keras.backend.backend() == "tensorflow"
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)])
model.compile("adam", loss="mse", metrics=["mae"])
x, y = np.random.rand(32, 4), np.random.rand(32, 1)
fitted = model.fit(x, y, epochs=2, verbose=0)
package = RegressionResultPackage()
package.prepare_result_package(y[:, 0], model.predict(x, verbose=0)[:, 0], hyperparameters={"lr": 0.001})
for kind in ("h5", "keras"):
    saver = FullKerasExperimentLocalSaver("project", kind, sys.argv[1], model_format=kind)
    saver.save_experiment(model, package, fitted)
    loaded = saver.load_experiment()
    np.testing.assert_allclose(loaded.model.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)
    assert int(loaded.model.optimizer.iterations) == 2
    loaded.model.fit(x, y, epochs=1, verbose=0)
    assert int(loaded.model.optimizer.iterations) == 3
    assert loaded.results.keys() == package.get_results().keys()
print("loaded and trained on")
"""


@pytest.mark.slow
def test_saved_loaded_and_trained_on(tmp_path):
    pytest.importorskip("tensorflow", reason="pip install 'analogjax[tf]'")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "compat", str(tmp_path / "program.py"), str(tmp_path / "saved")],
        cwd=ROOT, env=os.environ | {"KERAS_BACKEND": "tensorflow"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.endswith("loaded and trained on\n"), done.stderr[-3000:]
