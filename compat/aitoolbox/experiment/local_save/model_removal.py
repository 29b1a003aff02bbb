"""Keeping only the best checkpoints."""

import math
import os
import re
from pathlib import Path
from typing import Any

from compat.aitoolbox.store.folder import CHECKSUMS, Folder

_SMALL_IS_GOOD = {"error", "mse", "mae", "rmse", "mape", "msle", "perplexity", "ppl", "wer", "cer", "nll"}


class LocalSubOptimalModelRemover:
    """Keeps the checkpoints of the `num_best_kept` best values of a metric and deletes the others.

    Smaller is better for losses, errors and the like (recognised by name), or as set by `mode`, `"min"` or `"max"`.
    """

    def __init__(self, metric_name: str, num_best_kept: int = 2, *, mode: str | None = None) -> None:
        if mode not in (None, "min", "max"):
            raise ValueError(f"mode {mode!r}: give 'min' or 'max', or None to go by the metric's name.")
        self.metric_name = metric_name
        self.decrease_metric = _small_is_good(metric_name) if mode is None else mode == "min"
        self.num_best_kept = num_best_kept
        self.default_metrics_list = ["loss", "accumulated_loss", "val_loss"]
        self.is_default_metric = metric_name in self.default_metrics_list
        # other metrics are evaluated after the model is saved, so a model waits here for its value
        self.non_default_metric_buffer: list[str] | None = None
        self.model_save_history: list[tuple[list[str], float]] = []

    def decide_if_remove_suboptimal_model(self, history: Any, new_model_dump_paths: list[str]) -> None:
        """Takes note of a saved model's files, and deletes those of the worst one if there are too many."""
        ready: list[str] | None = new_model_dump_paths
        if not self.is_default_metric:
            ready, self.non_default_metric_buffer = self.non_default_metric_buffer, new_model_dump_paths
        if ready is not None:
            self._rank(ready, history)
        if len(self.model_save_history) > self.num_best_kept:
            self.model_save_history.sort(key=self._badness)
            worst, _ = self.model_save_history.pop()
            print(f"Removing the model that is not among the best {self.num_best_kept}: {worst}")
            self.rm_suboptimal_model(worst)

    def _rank(self, paths: list[str], history: Any) -> None:
        if self.metric_name in history:
            self.model_save_history.append((paths, history[self.metric_name][-1]))
        else:
            print(f"{self.metric_name} is not among the metrics {list(history.keys())}: {paths} is kept")

    def _badness(self, saved: tuple[list[str], float]) -> float:
        value = float(saved[1])
        return math.inf if math.isnan(value) else value if self.decrease_metric else -value

    @staticmethod
    def rm_suboptimal_model(rm_model_paths: list[str]) -> None:
        """Deletes the files, and their checksums; those that are gone already are passed over."""
        for path in map(Path, rm_model_paths):
            experiment = path.parent.parent
            if os.path.exists(experiment / CHECKSUMS):
                Folder(experiment).remove(f"{path.parent.name}/{path.name}")
            path.unlink(missing_ok=True)


def _small_is_good(metric_name: str) -> bool:
    return "loss" in metric_name or not _SMALL_IS_GOOD.isdisjoint(re.split(r"[^a-z0-9]+", metric_name.lower()))
