"""What the tests of the experiment savers share; Keras runs on JAX."""

import importlib.util
import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]

from tests.store.servers import gcs_server, s3_server  # noqa: F401


@pytest.fixture
def package():
    """A function that makes an evaluated result package."""
    from aitoolbox.experiment.result_package.abstract_result_packages import PreCalculatedResultPackage

    def make(results=None, hyperparameters=None):
        made = PreCalculatedResultPackage({"accuracy": 0.5} if results is None else results)
        made.hyperparameters = {"lr": 0.1} if hyperparameters is None else hyperparameters
        made.y_true, made.y_predicted = [0, 1], [1, 1]
        return made

    return make


@pytest.fixture
def history():
    """Two epochs of training."""
    from aitoolbox.experiment.training_history import TrainingHistory

    return TrainingHistory().wrap_pre_prepared_history({"loss": [2.0, 1.0], "val_loss": [2.5, 1.5]})


@pytest.fixture
def checkpoint():
    """A function that makes a PyTorch checkpoint of a small layer."""
    import torch

    def make(**more):
        layer = torch.nn.Linear(3, 2)
        empty = {"optimizer_state_dict": None, "epoch": 1, "hyperparams": {}}
        return {"model_state_dict": layer.state_dict(), **empty, **more}

    return make
