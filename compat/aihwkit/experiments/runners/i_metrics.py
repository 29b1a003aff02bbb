"""What a local inference measures and prints."""

import json
import time
from typing import Any

from compat.aihwkit.experiments.experiments.base import Experiment, Signals

_COLUMNS = ("t_inference", "avg_accuracy", "std_accuracy", "avg_error", "avg_loss")


class InferenceLocalMetric:
    """The statistics over the repeats so far, at each time; with `stdout`, a line of JSON after each repeat."""

    def __init__(self, stdout: bool = False) -> None:
        self.stdout = stdout
        self.current_repeat: dict[str, Any] = {}
        self.begun = time.perf_counter()

    def watch(self, experiment: Experiment) -> None:
        """Register with an experiment."""
        experiment.add_hook(Signals.INFERENCE_REPEAT_START, self.receive_repeat_start)
        experiment.add_hook(Signals.INFERENCE_REPEAT_END, self.receive_repeat_end)

    def receive_repeat_start(self, repeat: int) -> None:
        """A repeat begins."""
        self.current_repeat = {"number": repeat, "inference_results": []}

    def receive_repeat_end(
        self, t_inference_array: Any, avg_acc_arr: Any, std_acc_arr: Any, avg_err_arr: Any, avg_loss_arr: Any,
        inference_repeats: int,
    ) -> dict[str, Any]:  # fmt: skip
        """The result so far, which is the result after the last repeat."""
        rows = zip(t_inference_array, avg_acc_arr, std_acc_arr, avg_err_arr, avg_loss_arr, strict=True)
        repeat = self.current_repeat["number"] + 1
        partial = {
            "inference_runs": {
                "inference_repeat": repeat,
                "is_partial": repeat < inference_repeats,
                "time_elapsed": time.perf_counter() - self.begun,
                "inference_results": [dict(zip(_COLUMNS, map(float, row), strict=True)) for row in rows],
            }
        }
        self.tell(partial)
        return partial

    def tell(self, partial: dict[str, Any]) -> None:
        """Print a result, if wanted."""
        if self.stdout:
            print(json.dumps(partial))
