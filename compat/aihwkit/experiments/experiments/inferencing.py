"""Reading a trained network on chips that drift; told to a service, and not simulated by this version."""

from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.experiments.experiments.base import Experiment
from compat.torch_package import torch


class BasicInferencing(Experiment):
    """What is read, on what data, and when."""

    def __init__(
        self, dataset: Any, model: Any, batch_size: int = 10, loss_function: Any = torch.nn.CrossEntropyLoss,
        weight_template_id: str = "", inference_repeats: int = 2, inference_time: int = 86400,
        remap_weights: bool = True,
    ) -> None:  # fmt: skip
        self.dataset, self.model, self.batch_size, self.loss_function = dataset, model, batch_size, loss_function
        self.weight_template_id, self.remap_weights = weight_template_id, remap_weights
        self.inference_repeats, self.inference_time = inference_repeats, inference_time
        super().__init__()

    def run(self, *_: Any, **__: Any) -> Any:
        """Raises `ConfigError`: this version does not simulate it."""
        raise ConfigError("BasicInferencing is not simulated by this version of analogjax.")

    def __str__(self) -> str:
        dataset, loss = (getattr(v, "__name__", v) for v in (self.dataset, self.loss_function))
        return (
            f"{type(self).__name__}(dataset={dataset}, batch_size={self.batch_size}, loss_function={loss}, "
            f"inference_repeats={self.inference_repeats}, inference_time={self.inference_time}, model={self.model})"
        )
