"""Reading a trained network on chips that drift."""

import copy
import os
import tempfile
from typing import Any

import numpy as np

from analogjax.errors import MissingPackage
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.experiments.experiments.base import Experiment, Signals
from compat.aihwkit.experiments.experiments.training import scaled, splits_of
from compat.aihwkit.utils.legacy import convert_legacy_checkpoint as convert_legacy_checkpoint
from compat.torch_package import torch

WEIGHT_TEMPLATE_URL = "https://github.com/IBM-AI-Hardware-Center/Composer/raw/main/"

_NORMALISED = ("SVHN",)  # the others are only scaled to 0..1, as in aihwkit


def download(url: str, destination: str) -> None:
    """Fetch a file; `destination` is as it was until all of it is there. Raises `requests.RequestException`."""
    try:
        import requests
    except ImportError as error:
        raise MissingPackage(f'download needs requests ({error}): pip install "analogjax[cloud]"') from error
    answer = requests.get(url, timeout=30.0)
    answer.raise_for_status()
    folder, name = os.path.split(os.path.abspath(destination))
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as part:
        part.write(answer.content)
    os.replace(part.name, destination)


class BasicInferencing(Experiment):
    """What is read, on what data, and when. `InferenceLocalRunner` runs it.

    `weight_template_id` is a file (a path that begins with `.` or `/`) that `torch.save(model.state_dict(), FILE)`
    wrote, or empty: the model's own weights. On a service it is the id of a training that was completed there.
    """

    def __init__(
        self, dataset: Any, model: Any, batch_size: int = 10, loss_function: Any = torch.nn.CrossEntropyLoss,
        weight_template_id: str = "", inference_repeats: int = 2, inference_time: int = 86400,
        remap_weights: bool = True,
    ) -> None:  # fmt: skip
        self.dataset, self.model, self.batch_size, self.loss_function = dataset, model, batch_size, loss_function
        self.weight_template_id, self.remap_weights = weight_template_id, remap_weights
        self.inference_repeats, self.inference_time = inference_repeats, inference_time
        super().__init__()

    def get_dataset_arguments(self, dataset: Any) -> tuple[dict, dict]:
        """What tells the dataset which split is wanted: training, test."""
        return splits_of(dataset)

    def get_dataset_transform(self, dataset: Any) -> Any:
        """What is done with each image."""
        return scaled(dataset, _NORMALISED)

    def get_data_loader(
        self, dataset: Any, batch_size: int, max_elements: int = 0,
        dataset_root: str = os.path.join(tempfile.gettempdir(), "datasets"),
    ) -> Any:  # fmt: skip
        """Batches of the test split, in order; `max_elements > 0` takes the first items only."""
        _, given = self.get_dataset_arguments(dataset)
        split = dataset(dataset_root, transform=self.get_dataset_transform(dataset), **given)
        if max_elements > 0:
            split = torch.utils.data.Subset(split, range(min(max_elements, len(split))))
        return torch.utils.data.DataLoader(split, batch_size=batch_size, shuffle=False)

    def get_model(self, weight_template_id: str, device: Any = None) -> Any:
        """A copy of the model with the weights of the template, remapped if the experiment requires it."""
        model = copy.deepcopy(self.model)
        if weight_template_id:
            if weight_template_id[0] not in "./":
                raise ConfigError(
                    f"weight_template_id={weight_template_id!r}: is fetched by aihwkit from IBM, as pickled objects of "
                    "aihwkit, which are not read here. Give the path of a file that torch.save(model.state_dict(), "
                    "FILE) wrote, beginning with . or /."
                )
            model.load_state_dict(torch.load(weight_template_id, map_location="cpu", weights_only=True))
            if self.remap_weights:
                model.remap_analog_weights()
        return model.to(device) if device else model

    def inferencing_step(
        self, validation_loader: Any, model: Any, loss_function: Any, t_inference_list: list, device: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One freshly programmed chip: accuracy and error [percent], and loss, at each time."""
        model.eval()
        model.program_analog_weights()
        found = np.zeros((3, len(t_inference_list)))
        for n, t_inference in enumerate(t_inference_list):
            model.drift_analog_weights(t_inference)
            accuracy, loss = self._read(validation_loader, model, loss_function, device)
            found[:, n] = accuracy, 100 - accuracy, loss
        return found[0], found[1], found[2]

    @torch.no_grad()
    def _read(self, loader: Any, model: Any, loss_function: Any, device: Any) -> tuple[float, float]:
        right = items = 0
        total = 0.0
        for images, labels in loader:
            if device:
                images, labels = images.to(device), labels.to(device)
            outputs = model(images)
            total += loss_function(outputs, labels).item() * labels.size(0)
            right, items = right + int((outputs.argmax(dim=1) == labels).sum()), items + labels.size(0)
        return 100 * right / items, total / items

    def inference(
        self, validation_loader: Any, model: Any, loss_function: Any, inference_repeats: int, inference_time: float,
        device: Any, n_inference_times: int = 10,
    ) -> dict:  # fmt: skip
        """All repeats; what the hooks of the last INFERENCE_REPEAT_END return is the result."""
        times = [0.0, *np.logspace(0, np.log10(float(inference_time)), n_inference_times - 1).tolist()]
        found, result = [], {}
        for repeat in range(inference_repeats):
            self._call_hook(Signals.INFERENCE_REPEAT_START, repeat)
            found.append(self.inferencing_step(validation_loader, model, loss_function, times, device))
            accuracy, error, loss = (np.stack(column) for column in zip(*found, strict=True))
            result = self._call_hook(
                Signals.INFERENCE_REPEAT_END, np.array(times), accuracy.mean(0), accuracy.std(0), error.mean(0),
                loss.mean(0), self.inference_repeats,
            )  # fmt: skip
        return copy.deepcopy(result)

    def run(
        self, max_elements: int = 0, dataset_root: str = os.path.join(tempfile.gettempdir(), "data"), device: Any = None
    ) -> dict:
        """Program, drift and read in torch, batch by batch, with all hooks; `model` is then the one that was read.

        Raises `ConfigError` for a template that can't be read.
        """
        loader = self.get_data_loader(self.dataset, self.batch_size, max_elements, dataset_root)
        model = self.get_model(self.weight_template_id, device)
        result = self.inference(
            loader, model, self.loss_function(), self.inference_repeats, self.inference_time, device
        )
        self.model = model
        return result

    def __str__(self) -> str:
        dataset, loss = (getattr(v, "__name__", v) for v in (self.dataset, self.loss_function))
        return (
            f"{type(self).__name__}(dataset={dataset}, batch_size={self.batch_size}, loss_function={loss}, "
            f"inference_repeats={self.inference_repeats}, inference_time={self.inference_time}, model={self.model})"
        )
