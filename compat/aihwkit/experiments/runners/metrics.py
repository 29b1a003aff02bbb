"""What a local run measures and prints."""

import time
from typing import Any

from compat.aihwkit.experiments.experiments.base import Experiment, Signals


class LocalMetric:
    """Loss, accuracy and time of each epoch."""

    def __init__(self, stdout: bool = True) -> None:
        self.stdout = stdout
        self.epochs: list[dict[str, Any]] = []
        self.current_epoch: dict[str, Any] = {}

    def watch(self, experiment: Experiment) -> None:
        """Register with an experiment."""
        experiment.add_hook(Signals.EPOCH_START, self.receive_epoch_start)
        experiment.add_hook(Signals.EPOCH_END, self.receive_epoch_end)
        experiment.add_hook(Signals.TRAIN_EPOCH_END, self.receive_train_epoch_end)
        experiment.add_hook(Signals.TRAIN_EPOCH_BATCH_END, self.receive_train_epoch_batch_end)
        experiment.add_hook(Signals.VALIDATION_EPOCH_BATCH_END, self.receive_validation_epoch_batch_end)
        experiment.add_hook(Signals.VALIDATION_EPOCH_END, self.receive_validation_epoch_end)

    def receive_epoch_start(self, epoch: int) -> None:
        """Start counting."""
        counts = dict.fromkeys(
            ("total_loss", "training_images", "validation_images", "validation_correct", "validation_loss"), 0
        )
        self.current_epoch = {"number": epoch, "start_time": time.perf_counter(), **counts}

    def receive_train_epoch_batch_end(self, total: int, train_loss: float) -> None:
        """Count a training batch."""
        self.current_epoch["training_images"] += total
        self.current_epoch["total_loss"] += train_loss

    def receive_validation_epoch_batch_end(self, total: int, correct: int, validation_loss: float) -> None:
        """Count a validation batch."""
        self.current_epoch["validation_images"] += total
        self.current_epoch["validation_correct"] += int(correct)
        self.current_epoch["validation_loss"] += validation_loss

    def receive_train_epoch_end(self) -> None:
        """Print the training loss."""
        if self.stdout:
            print(f"Epoch: {self.current_epoch['number']}, loss: {self._entry()['train_loss']:.8f}")

    def receive_validation_epoch_end(self) -> None:
        """Print accuracy and validation loss."""
        if self.stdout:
            entry, images = self._entry(), self.current_epoch["validation_images"]
            print(
                f"Number of images: {images}, accuracy: {entry['accuracy']:.6%}, "
                f"validation loss: {entry['valid_loss']:.8f}"
            )

    def receive_epoch_end(self) -> dict[str, Any]:
        """The entry of the epoch in the results."""
        entry = self._entry()
        if self.stdout:
            print(f"Time for epoch {entry['epoch']}: {entry['time_epoch']:.4}s")
        self.epochs.append(self.current_epoch)
        return entry

    def _entry(self) -> dict[str, Any]:
        now = self.current_epoch
        trained, validated = max(now["training_images"], 1), max(now["validation_images"], 1)
        return {
            "epoch": now["number"],
            "time_epoch": time.perf_counter() - now["start_time"],
            "accuracy": now["validation_correct"] / validated,
            "train_loss": now["total_loss"] / trained,
            "valid_loss": now["validation_loss"] / validated,
        }
