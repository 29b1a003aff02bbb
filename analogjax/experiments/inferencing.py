r"""`BasicInferencing`: the accuracy of a trained network on chips that are programmed once and then drift.

    for each repeat:   program all chips anew
        for each time: drift them to that time, classify the test split

The times are 0 and nine more, spaced logarithmically from 1 s to `inference_time`. Every repeat runs the same compiled
function, which scans over times and batches. Keys: repeat `r` has `fold_in(key, r)`; from it, programming uses
`fold_in(.., 0)` and time number `n` uses `fold_in(.., n + 1)`, so more repeats leave the first ones unchanged.
Letters: `N` items, `B` batch, `T` times.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax import nn, random
from analogjax._field_docs import document_fields
from analogjax._processor import Tuned
from analogjax._remembered import remembered
from analogjax._typing import Array, Key
from analogjax.data import named, sequential_indices
from analogjax.errors import ConfigError, NonFiniteError
from analogjax.experiments.dataset import DatasetLike
from analogjax.experiments.images import Images, images_of
from analogjax.experiments.losses import cross_entropy_loss
from analogjax.experiments.placement import find_device
from analogjax.nn import Variables
from analogjax.physics.inference import Compensation, GlobalCompensation, NoiseModel, PCMLike
from analogjax.physics.inference.noise_model import check_time
from analogjax.tile import drift_all, program_all

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
    """Last time after programming at which the chips are read [s]."""
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
        known = isinstance(self.drift_compensation, (bool, type(None))) or hasattr(self.drift_compensation, "factor")
        self._need(known, "drift_compensation", "give True, False, or a compensation of analogjax.physics.inference")
        for t in self.times:
            check_time(self.noise_model, t, "BasicInferencing")

    def _need(self, condition: bool, name: str, remedy: str) -> None:
        if not condition:
            raise ConfigError(f"BasicInferencing({name}={getattr(self, name)!r}): {remedy}.")

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
        return (0.0, *(float(t) for t in np.logspace(0, math.log10(self.inference_time), _TIMES - 1)))


class _Repeat(NamedTuple):
    """One compiled repeat; static, so that it is compiled once per experiment."""

    model: linen.Module
    loss_function: Callable[[Array, Array], Array]
    noise_model: NoiseModel
    compensation: Compensation | None
    batch_size: int

    def run(self, variables: Variables, data: Images, times: Array, key: Key) -> tuple[Array, Array]:
        """Correct answers `[T]` and summed losses `[T]` of freshly programmed chips. Consumes `key`."""
        programmed = program_all(variables.tiles, self.noise_model, self.compensation, jax.random.fold_in(key, 0))

        def at(given: tuple[Array, Array]) -> tuple[Array, Array]:
            n, t = given
            k_drift, k_read = jax.random.split(jax.random.fold_in(key, n + 1))
            tiles = drift_all(programmed, t, k_drift)
            return self._classify(variables.replace(tiles=tiles), data, k_read)

        return lax.map(at, (jnp.arange(times.shape[0]), times))

    def _classify(self, variables: Variables, data: Images, key: Key) -> tuple[Array, Array]:
        """Correct answers and summed loss `[]` over all items, in batches. Consumes `key`."""
        items = data.labels.shape[0]
        indices, weights = sequential_indices(items, min(self.batch_size, items))

        def body(sums: tuple[Array, Array], batch: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
            n, rows, weight = batch
            x, y = data.batch(rows)
            outputs = nn.apply(self.model, variables, x, key=jax.random.fold_in(key, n))
            right = jnp.sum((jnp.argmax(outputs, -1) == y) * weight)
            return (sums[0] + right, sums[1] + jnp.sum(self.loss_function(outputs, y) * weight)), None

        batches = (jnp.arange(indices.shape[0]), indices, weights)
        return lax.scan(body, (jnp.zeros(()), jnp.zeros(())), batches)[0]


@remembered
def _compiled(given: tuple[_Repeat, str]) -> Callable[..., tuple[Array, Array]]:
    once, platform = given
    return Tuned(once.run, platform)


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
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigError(f"seed={seed!r}: needs a whole number.")
    begun, chosen = time.perf_counter(), find_device(device)
    with jax.default_device(chosen):
        key = random.key(seed)
        split = experiment.dataset.load(dataset_root, train=False).head(max_elements)
        data = images_of(split, experiment.dataset, chosen, "the test split")
        if not data.classified or data.labels.ndim != 1:
            raise ConfigError(
                f"dataset {experiment.dataset.name}: the labels are {data.labels.dtype}{list(data.labels.shape)}; an "
                "inference measures the accuracy of a classifier, so it needs one whole number per item."
            )
        variables = jax.device_put(experiment.variables, chosen)
        once = _Repeat(
            experiment.model, experiment.loss_function, experiment.noise_model, experiment.compensation,
            experiment.batch_size,
        )  # fmt: skip
        run, times, found = _compiled((once, chosen.platform)), jnp.asarray(experiment.times), np.zeros((0, 2, _TIMES))
        for repeat in range(experiment.inference_repeats):
            # sums of whole numbers below 2^24 are exact, so the division is made here, in float64
            sums = np.asarray(run(variables, data, times, jax.random.fold_in(key, repeat)), np.float64)
            found = np.concatenate([found, sums[None] / data.labels.shape[0]])
            _check(found[-1, 1], experiment, repeat)
            result = _result(experiment, found, time.perf_counter() - begun)
            if on_repeat is not None:
                on_repeat(result)
    return result


def _result(experiment: BasicInferencing, found: np.ndarray, spent: float) -> dict[str, Any]:
    """The result computed from accuracies and losses `[repeats, 2, T]` so far."""
    percent, losses = 100 * found[:, 0], found[:, 1]
    mean = percent.mean(0)
    columns = {
        "t_inference": np.asarray(experiment.times),
        "avg_accuracy": mean,
        "std_accuracy": percent.std(0),
        "avg_error": 100 - mean,
        "avg_loss": losses.mean(0),
    }
    entries = [{name: float(values[n]) for name, values in columns.items()} for n in range(_TIMES)]
    runs = {"inference_repeat": len(found), "is_partial": len(found) < experiment.inference_repeats}
    return {"inference_runs": runs | {"time_elapsed": spent, "inference_results": entries}}


def _check(loss: np.ndarray, experiment: BasicInferencing, repeat: int) -> None:
    if not np.all(np.isfinite(loss)):
        n = int(np.argmin(np.isfinite(loss)))
        raise NonFiniteError(
            f"the loss is {loss[n]} in repeat {repeat} at t = {experiment.times[n]:g} s. Are there NaNs in the data, "
            "the trained variables or the model, or does the loss function not fit the model's last layer?"
        )
