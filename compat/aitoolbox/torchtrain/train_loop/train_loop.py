"""The training loop's settings and history."""

from typing import Any

from compat.aitoolbox.experiment.training_history import TrainingHistory


class TrainLoop:
    """Holds what training needs, and an empty history. It doesn't train: `fit` raises `NotImplementedError`."""

    def __init__(
        self,
        model: Any,
        train_loader: Any,
        validation_loader: Any,
        test_loader: Any,
        optimizer: Any,
        criterion: Any,
        collate_batch_pred_fn: Any = None,
        pred_transform_fn: Any = None,
        end_auto_eval: Any = True,
        lazy_experiment_save: bool = False,
        print_callbacks: bool = False,
        gpu_mode: str = "single",
        cuda_device_idx: int | None = None,
        use_amp: Any = False,
    ) -> None:
        self.model = model
        self.train_loader, self.validation_loader, self.test_loader = train_loader, validation_loader, test_loader
        self.optimizer, self.criterion = optimizer, criterion
        self.collate_batch_pred_fn, self.pred_transform_fn = collate_batch_pred_fn, pred_transform_fn
        self.end_auto_eval, self.lazy_experiment_save = end_auto_eval, lazy_experiment_save
        self.print_callbacks, self.gpu_mode = print_callbacks, gpu_mode
        self.cuda_device_idx, self.use_amp = cuda_device_idx, use_amp
        self.train_history = TrainingHistory(has_validation=validation_loader is not None)
        self.callbacks: list[Any] = []

    def fit(self, num_epochs: int = 0, num_iterations: int = 0, callbacks: Any = None, **kwargs: Any) -> None:
        """Raises `NotImplementedError`."""
        raise NotImplementedError(
            "aitoolbox's training loop is not part of analogjax's compat, which saves and loads experiments: train "
            "with torch, or with analogjax.experiments, and pass the model to a saver."
        )
