"""Models that know how they are fed."""

from abc import ABC, abstractmethod
from typing import Any

from compat.torch_package import torch


class TTModel(torch.nn.Module, ABC):
    """A torch module with a loss and predictions."""

    @abstractmethod
    def get_loss(self, batch_data: Any, criterion: Any, device: Any) -> Any:
        """The loss of a training batch."""

    def get_loss_eval(self, batch_data: Any, criterion: Any, device: Any) -> Any:
        """The loss of an evaluation batch."""
        return self.get_loss(batch_data, criterion, device)

    @abstractmethod
    def get_predictions(self, batch_data: Any, device: Any) -> Any:
        """Predictions, labels and metadata of a batch."""
