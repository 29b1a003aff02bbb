"""Training and validating a classifier."""

import os
import tempfile
from collections.abc import Callable
from typing import Any

from analogjax import data
from compat.aihwkit.experiments.experiments.base import Experiment, Signals
from compat.aihwkit.optim import AnalogSGD
from compat.torch_package import torch
from compat.torchvision.transforms import Compose, Normalize, ToTensor

_NORMALISED = ("FashionMNIST", "SVHN")  # the others are only scaled to 0..1


class BasicTraining(Experiment):
    """What is trained, on what, and how. `LocalRunner` runs it, compiled as a whole where that is possible."""

    def __init__(
        self,
        dataset: Any,
        model: Any,
        batch_size: int = 64,
        loss_function: Any = torch.nn.NLLLoss,
        epochs: int = 30,
        learning_rate: float = 0.05,
    ) -> None:
        self.dataset, self.model, self.batch_size = dataset, model, batch_size
        self.loss_function, self.epochs, self.learning_rate = loss_function, epochs, learning_rate
        super().__init__()

    def get_dataset_arguments(self, dataset: Any) -> tuple[dict, dict]:
        """What tells the dataset which split is wanted: training, test."""
        return splits_of(dataset)

    def get_dataset_transform(self, dataset: Any) -> Any:
        """What is done with each image."""
        return scaled(dataset, _NORMALISED)

    def get_data_loaders(
        self,
        dataset: Any,
        batch_size: int,
        max_elements_train: int = 0,
        dataset_root: str = os.path.join(tempfile.gettempdir(), "datasets"),
    ) -> tuple[Any, Any]:
        """Shuffled batches of both splits; `max_elements_train > 0` takes the first items only, of both."""
        transform = self.get_dataset_transform(dataset)
        splits = [dataset(dataset_root, transform=transform, **given) for given in self.get_dataset_arguments(dataset)]
        if max_elements_train:
            splits = [torch.utils.data.Subset(s, range(min(max_elements_train, len(s)))) for s in splits]
        train, test = (torch.utils.data.DataLoader(s, batch_size=batch_size, shuffle=True) for s in splits)
        return train, test

    def get_optimizer(self, learning_rate: float, model: Any) -> Any:
        """The optimizer."""
        optimizer = AnalogSGD(model.parameters(), lr=learning_rate)
        optimizer.regroup_param_groups(model)
        return optimizer

    def training_step(
        self, training_loader: Any, model: Any, optimizer: Any, loss_function: Callable, device: Any
    ) -> None:
        """One epoch of training."""
        model.train()
        for images, labels in training_loader:
            if device:
                images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = loss_function(model(images), labels)
            loss.backward()
            optimizer.step()
            items = labels.size(0)
            self._call_hook(Signals.TRAIN_EPOCH_BATCH_END, items, loss.item() * items)

    def validation_step(self, validation_loader: Any, model: Any, loss_function: Callable, device: Any) -> None:
        """One pass over the test split."""
        model.eval()
        for images, labels in validation_loader:
            if device:
                images, labels = images.to(device), labels.to(device)
            with torch.no_grad():
                outputs = model(images)
                loss = loss_function(outputs, labels)
            right, items = int((outputs.argmax(dim=1) == labels).sum()), labels.size(0)
            self._call_hook(Signals.VALIDATION_EPOCH_BATCH_END, items, right, loss.item() * items)

    def train(
        self, training_loader: Any, validation_loader: Any, model: Any, optimizer: Any, loss_function: Callable,
        epochs: int, device: Any,
    ) -> list[dict]:  # fmt: skip
        """All epochs; the dicts that the hooks of EPOCH_END return are the results."""
        results = []
        for epoch in range(epochs):
            self._call_hook(Signals.EPOCH_START, epoch)
            self._call_hook(Signals.TRAIN_EPOCH_START, epoch)
            self.training_step(training_loader, model, optimizer, loss_function, device)
            self._call_hook(Signals.TRAIN_EPOCH_END)
            self._call_hook(Signals.VALIDATION_EPOCH_START, epoch)
            self.validation_step(validation_loader, model, loss_function, device)
            self._call_hook(Signals.VALIDATION_EPOCH_END)
            results.append({"epoch": epoch} | self._call_hook(Signals.EPOCH_END))
        return results

    def run(
        self,
        max_elements: int = 0,
        dataset_root: str = os.path.join(tempfile.gettempdir(), "data"),
        device: Any = None,
    ) -> list[dict]:
        """Train in torch, batch by batch, with all hooks; afterwards `model` is the trained one."""
        loaders = self.get_data_loaders(
            self.dataset, self.batch_size, max_elements_train=max_elements, dataset_root=dataset_root
        )
        optimizer = self.get_optimizer(self.learning_rate, self.model)
        model = self.model.to(device) if device else self.model
        results = self.train(*loaders, model, optimizer, self.loss_function(), self.epochs, device)
        self.model = model
        return results

    def __str__(self) -> str:
        dataset, loss = (getattr(v, "__name__", v) for v in (self.dataset, self.loss_function))
        return (
            f"{type(self).__name__}(dataset={dataset}, batch_size={self.batch_size}, loss_function={loss}, "
            f"epochs={self.epochs}, learning_rate={self.learning_rate}, model={self.model})"
        )


def splits_of(dataset: Any) -> tuple[dict, dict]:
    """What tells a dataset which split is wanted: training, test."""
    if catalogued(dataset) == "SVHN":
        return {"split": "train"}, {"split": "test"}
    return {"train": True}, {"train": False}


def scaled(dataset: Any, normalised: tuple[str, ...]) -> Any:
    """Images scaled to 0..1, and those of the `normalised` datasets by their mean and deviation."""
    name = catalogued(dataset)
    if name not in normalised:
        return Compose([ToTensor()])
    known = data.named(name)
    return Compose([ToTensor(), Normalize(torch.tensor(known.mean), torch.tensor(known.std))])


def catalogued(dataset: Any) -> str:
    """The name in `analogjax.data` of a torchvision dataset class (theirs or ours), or an empty string."""
    module, name = getattr(dataset, "__module__", ""), getattr(dataset, "__name__", "")
    ours = module.startswith(("torchvision.", "compat.torchvision."))
    return name if ours and name in data.DATASETS else ""
