r"""`BasicInferencing`: the accuracy of a trained network on chips that are programmed once and then drift.

    for each repeat:   program all chips anew
        for each time: drift them to that time, classify the test split

By default, the times are 0 and nine more, spaced logarithmically from 1 s to `inference_time`. Keys are those of
`evaluate`, so more repeats leave the first ones unchanged.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flax.linen as linen
import jax
import numpy as np

from analogjax._field_docs import document_fields
from analogjax._typing import Array
from analogjax.data import named
from analogjax.errors import ConfigError
from analogjax.experiments.dataset import DatasetLike
from analogjax.experiments.evaluation import ChipResults, check_times, evaluate
from analogjax.experiments.losses import cross_entropy_loss
from analogjax.nn import Variables
from analogjax.physics.inference import Compensation, GlobalCompensation, NoiseModel, PCMLike
from analogjax.physics.inference.noise_model import check_time

_TIMES = 10


@document_fields
@dataclass(frozen=True)
class BasicInferencing:
    """Accuracy of a trained network over time, on chips that are programmed and drift.

    The weights held by the trained tiles are programmed, and read through the converters of these tiles. The test split
    is normalised as in training.

    Raises:
        ConfigError: If a value is invalid.

    Example:
        >>> inferencing = BasicInferencing(FashionMNIST, model, results.variables, inference_repeats=4)
        >>> LocalRunner().run(inferencing, seed=1)
    """

    dataset: DatasetLike
    """Entry of `analogjax.data`, its name, or any object with its `load`; the test split is used."""
    model: linen.Module
    """Flax module that `variables` belong to."""
    variables: Variables = field(compare=False, repr=False)
    """Trained variables, e.g. `Results.variables`."""
    batch_size: int = 10
    """Images read at once; larger is faster."""
    loss_function: Callable[[Array, Array], Array] = cross_entropy_loss
    """`(outputs [B, ...], targets [B, ...]) -> losses [B]`, one per item."""
    inference_repeats: int = 2
    """Chips programmed, each with noise of its own."""
    inference_time: float = 86400.0
    """Last time after programming at which the chips are read [s]; it has no effect if `t_inference` is given."""
    t_inference: tuple[float, ...] = ()
    """Times after programming at which the chips are read [s]; empty: 0 and nine more up to `inference_time`."""
    noise_model: NoiseModel = PCMLike()  # noqa: RUF009 - frozen
    """Material that the chips are made of."""
    drift_compensation: bool | Compensation | None = True
    """How the outputs of each chip are rescaled, measured anew at each time; True: by one factor for each chip
    (`GlobalCompensation`); False or None: not at all."""

    def __post_init__(self) -> None:
        if isinstance(self.dataset, str):
            object.__setattr__(self, "dataset", named(self.dataset))
        self._need(hasattr(self.dataset, "load"), "dataset", "give an entry of analogjax.data, or its name")
        self._need(isinstance(self.model, linen.Module), "model", "give a flax (linen) module")
        trained = hasattr(self.variables, "params") and hasattr(self.variables, "tiles")
        self._need(trained, "variables", "give trained nn.Variables, such as those of a run's results")
        for name in ("batch_size", "inference_repeats"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            self._need(whole and value > 0, name, "needs a whole number > 0")
        self._need(callable(self.loss_function), "loss_function", "give (outputs, labels) -> losses [B]")
        last = self.inference_time
        good = isinstance(last, (int, float)) and math.isfinite(last) and last >= 1
        self._need(good, "inference_time", "needs a time of 1 second or more")
        self._need(isinstance(self.noise_model, NoiseModel), "noise_model", "give one of analogjax.physics.inference")
        if self.t_inference:
            object.__setattr__(self, "t_inference", check_times("BasicInferencing", self.t_inference, "t_inference"))
        known = isinstance(self.drift_compensation, (bool, type(None))) or hasattr(self.drift_compensation, "factor")
        self._need(known, "drift_compensation", "give True, False, or a compensation of analogjax.physics.inference")
        for t in self.times:
            check_time(self.noise_model, t, "BasicInferencing")

    @property
    def compensation(self) -> Compensation | None:
        """The drift compensation that `drift_compensation` stands for."""
        given = self.drift_compensation
        if isinstance(given, bool):
            return GlobalCompensation() if given else None
        return given

    @property
    def times(self) -> tuple[float, ...]:
        """Times after programming at which the network is read [s]."""
        if self.t_inference:
            return self.t_inference
        return (0.0, *(float(t) for t in np.logspace(0, math.log10(self.inference_time), _TIMES - 1)))

    def _need(self, condition: bool, name: str, remedy: str) -> None:
        if not condition:
            raise ConfigError(f"BasicInferencing({name}={getattr(self, name)!r}): {remedy}.")


def run_inference(
    experiment: BasicInferencing,
    *,
    seed: int,
    max_elements: int = 0,
    dataset_root: str | os.PathLike[str] | None = None,
    device: jax.Device | str | None = None,
    on_repeat: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Program, drift and read the chips of an experiment.

    Args:
        experiment: What to read, and when.
        seed: Seed of everything random; the same seed gives the same numbers.
        device: JAX device or its name; None: the default.
        max_elements: Use only the first items of the test split; 0: all.
        dataset_root: Folder of the dataset.
        on_repeat: Called after each repeat with the partial result.

    Returns:
        Statistics over the repeats: `{"inference_runs": {"inference_repeat": completed repeats, "is_partial": whether
        more will follow, "time_elapsed": [s], "inference_results": [...]}}`, with one dict per time: `t_inference` [s],
        `avg_accuracy`, `std_accuracy` and `avg_error` (percent) and `avg_loss`. The standard deviation is that of the
        repeats themselves (0 for one).

    Raises:
        ConfigError, DatasetError, NonFiniteError: If the experiment or its data are invalid.
    """
    begun, found = time.perf_counter(), list[dict[str, Any]]()

    def told(so_far: ChipResults) -> None:
        found.append(_result(experiment, so_far, time.perf_counter() - begun))
        if on_repeat is not None:
            on_repeat(found[-1])

    evaluate(
        experiment.model, experiment.variables, experiment.dataset, chips=experiment.inference_repeats,
        times=experiment.times, noise_model=experiment.noise_model,
        compensation=experiment.compensation,
        batch_size=experiment.batch_size, loss_function=experiment.loss_function, seed=seed, max_elements=max_elements,
        dataset_root=dataset_root, device=device, fresh=False, at_once=1, on_chips=told,
    )  # fmt: skip
    return found[-1]


def _result(experiment: BasicInferencing, found: ChipResults, spent: float) -> dict[str, Any]:
    """The result computed from the chips so far."""
    percent, mean = 100 * found.accuracy, 100 * found.accuracy.mean(0)
    columns = {
        "t_inference": np.asarray(found.times),
        "avg_accuracy": mean,
        "std_accuracy": percent.std(0),
        "avg_error": 100 - mean,
        "avg_loss": found.loss.mean(0),
    }
    entries = [{name: float(values[n]) for name, values in columns.items()} for n in range(len(found.times))]
    chips = len(found.accuracy)
    runs = {"inference_repeat": chips, "is_partial": chips < experiment.inference_repeats}
    return {"inference_runs": runs | {"time_elapsed": spent, "inference_results": entries}}
