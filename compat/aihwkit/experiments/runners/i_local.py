"""Running an inference on this machine."""

import logging
import os
import tempfile
from typing import Any

from compat.aihwkit.experiments import convert
from compat.aihwkit.experiments.convert_inference import infer
from compat.aihwkit.experiments.experiments.inferencing import BasicInferencing
from compat.aihwkit.experiments.runners.base import Runner
from compat.aihwkit.experiments.runners.i_metrics import InferenceLocalMetric


class InferenceLocalRunner(Runner):
    """Reads on this machine: compiled as a whole where the experiment allows it, else batch by batch in torch."""

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def run(  # type: ignore[override]
        self,
        experiment: BasicInferencing,
        max_elements: int = 0,
        dataset_root: str = os.path.join(tempfile.gettempdir(), "datasets"),
        stdout: bool = False,
    ) -> dict[str, Any]:
        """`{"inference_runs": {...}}` with the statistics over the repeats at each time, as in aihwkit."""
        experiment.clear_hooks()
        metric = InferenceLocalMetric(stdout)
        metric.watch(experiment)
        try:
            result = infer(experiment, max_elements, dataset_root, self.device, metric.tell)
        except convert.Obstacle as obstacle:
            logging.getLogger("compat").warning(
                "InferenceLocalRunner: this experiment runs batch by batch in torch, not compiled as a whole, because "
                "%s.",
                obstacle,
            )
            test = experiment.get_dataset_arguments(experiment.dataset)[1]
            convert.download(experiment, dataset_root, (test,))
            result = experiment.run(max_elements, dataset_root, self.device)
        experiment.results = result
        return result
