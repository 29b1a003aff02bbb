"""What a callback is."""

from typing import Any


class AbstractCallback:
    """Methods that a training loop calls at its turning points; here they do nothing."""

    def __init__(self, callback_name: str, execution_order: int = 0, device_idx_execution: int | None = None) -> None:
        self.callback_name = callback_name
        self.execution_order = execution_order
        self.device_idx_execution = device_idx_execution
        self.train_loop_obj: Any = None
        self.message_service: Any = None

    def register_train_loop_object(self, train_loop_obj: Any) -> "AbstractCallback":
        """Takes note of the loop; returns this callback."""
        self.train_loop_obj = train_loop_obj
        self.message_service = getattr(train_loop_obj, "message_service", None)
        self.on_train_loop_registration()
        return self

    def on_train_loop_registration(self) -> None:
        """The loop is known."""

    def on_epoch_begin(self) -> None:
        """An epoch begins."""

    def on_epoch_end(self) -> None:
        """An epoch has ended."""

    def on_train_begin(self) -> None:
        """Training begins."""

    def on_train_end(self) -> None:
        """Training has ended."""

    def on_batch_begin(self) -> None:
        """A batch begins."""

    def on_batch_end(self) -> None:
        """A batch has ended."""

    def on_after_gradient_update(self, optimizer_idx: int) -> None:
        """The gradients are there."""

    def on_after_optimizer_step(self) -> None:
        """The optimizer has stepped."""

    def on_multiprocess_start(self) -> None:
        """A process of several has begun."""

    def on_after_batch_prediction(
        self, y_pred_batch: Any, y_test_batch: Any, metadata_batch: Any, dataset_info: Any
    ) -> None:
        """A batch has been predicted."""
