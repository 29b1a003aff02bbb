"""How a model is fed."""

from abc import ABC, abstractmethod
from typing import Any


class AbstractModelFeedDefinition(ABC):
    """Losses and predictions of a model that has no methods for them."""

    @abstractmethod
    def get_loss(self, model: Any, batch_data: Any, criterion: Any, device: Any) -> Any:
        """The loss of a training batch."""

    def get_loss_eval(self, model: Any, batch_data: Any, criterion: Any, device: Any) -> Any:
        """The loss of an evaluation batch."""
        return self.get_loss(model, batch_data, criterion, device)

    @abstractmethod
    def get_predictions(self, model: Any, batch_data: Any, device: Any) -> Any:
        """Predictions, labels and metadata of a batch."""
