"""Running an experiment on this machine."""

import logging
import os
import tempfile
from typing import Any

from compat.aihwkit.experiments import convert
from compat.aihwkit.experiments.experiments.training import BasicTraining
from compat.aihwkit.experiments.runners.base import Runner
from compat.aihwkit.experiments.runners.metrics import LocalMetric


class LocalRunner(Runner):
    """Trains on this machine: compiled as a whole where the experiment allows it, else batch by batch in torch."""

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def run(  # type: ignore[override]
        self,
        experiment: BasicTraining,
        max_elements_train: int = 0,
        dataset_root: str = os.path.join(tempfile.gettempdir(), "datasets"),
        stdout: bool = False,
    ) -> list[dict]:
        """One dict per epoch: `epoch`, `time_epoch` [s], `accuracy`, `train_loss`, `valid_loss`."""
        experiment.clear_hooks()
        LocalMetric(stdout).watch(experiment)
        try:
            results = convert.train(experiment, max_elements_train, dataset_root, self.device, stdout)
        except convert.Obstacle as obstacle:
            logging.getLogger("compat").warning(
                "LocalRunner: this experiment runs batch by batch in torch, not compiled as a whole, because %s.",
                obstacle,
            )
            convert.download(experiment, dataset_root, experiment.get_dataset_arguments(experiment.dataset))
            results = experiment.run(max_elements_train, dataset_root, self.device)
        experiment.results = results
        return results
