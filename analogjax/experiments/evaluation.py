r"""`evaluate`: the accuracy of a trained network on many chips, at several times after programming.

    for each chip:     program it
        for each time: drift it to that time, classify the test split

A group of chips is one compiled call, which scans over times and batches; a group has as many chips as fit into the
given memory. Keys: chip `c` has `fold_in(key, c)`; from it, programming uses `fold_in(.., 0)` and time number `n` uses
`fold_in(.., n + 1)`, so more chips leave the first ones unchanged. Letters: `C` chips, `T` times, `B` batch.
"""

import math
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

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
from analogjax.experiments.losses import cross_entropy_loss, per_item
from analogjax.experiments.memory import largest_array
from analogjax.experiments.placement import find_device
from analogjax.nn import Variables
from analogjax.physics.inference import Compensation, GlobalCompensation, NoiseModel, PCMLike
from analogjax.physics.inference.noise_model import check_time
from analogjax.tile.inference import check_material

TIMES = (1.0, 3600.0, 86400.0, 31_536_000.0)
"""A second, an hour, a day and a year [s]."""
_COPIES = 6  # arrays of about the largest size that are alive at once


@document_fields
class ChipResults(NamedTuple):
    """What each chip does at each time."""

    times: tuple[float, ...]
    """Times after programming `[T]` [s]."""
    accuracy: np.ndarray
    """Fraction of items that each chip classifies correctly `[C, T]`."""
    loss: np.ndarray
    """Mean loss of each chip `[C, T]`."""


def evaluate(
    model: linen.Module,
    variables: Variables,
    dataset: DatasetLike | str,
    *,
    chips: int = 100,
    times: Sequence[float] = TIMES,
    noise_model: NoiseModel = PCMLike(),  # noqa: B008 - frozen
    compensation: Compensation | None = GlobalCompensation(),  # noqa: B008 - frozen
    fresh: bool = True,
    batch_size: int = 500,
    loss_function: Callable[[Array, Array], Array] = cross_entropy_loss,
    seed: int = 0,
    max_elements: int = 0,
    dataset_root: str | os.PathLike[str] | None = None,
    device: jax.Device | str | None = None,
    memory: float = 4e9,
    at_once: int | None = None,
    on_chips: Callable[[ChipResults], None] | None = None,
) -> ChipResults:
    """Program many chips with a trained network, and classify the test split at several times.

    Args:
        model: Flax module that `variables` belong to, with pulsed or hardware-aware layers.
        variables: Trained variables, such as `Results.variables`; they are not changed.
        dataset: Entry of `analogjax.data`, its name, or any object with its `load`; the test split is used.
        chips: Chips to program, each with noise of its own.
        times: Times after programming [s], 0 or more, in any order.
        noise_model: Material of the chips.
        compensation: Drift compensation; None: none.
        fresh: Give each chip converters and wires of its own, so that it is none that was seen in training; otherwise
            all have those of `variables`.
        batch_size: Images read at once; each batch has noise of its own, so another size draws other numbers.
        loss_function: `(outputs [B, ...], targets [B, ...]) -> losses [B]`.
        seed: Seed of everything random; the same seed gives the same numbers.
        max_elements: Use only the first items; 0: all.
        dataset_root: Folder of the dataset.
        device: JAX device or its name; None: the default.
        memory: Bytes that the arrays of a compiled call may take, about.
        at_once: Chips of one compiled call; None: as many as `memory` holds on an accelerator, and one on a CPU, where
            several would only compete for its cores.
        on_chips: Called after each compiled call with the results so far, for progress.

    Returns:
        Accuracy and loss of each chip at each time.

    Raises:
        ConfigError, DatasetError, NonFiniteError: If an argument or the data are invalid.

    Example:
        >>> results = evaluate(model, variables, FashionMNIST, chips=100, times=[1.0, 86400.0])
        >>> results.accuracy.mean(0), results.accuracy.std(0)
    """
    _check_numbers(chips=chips, batch_size=batch_size, **({} if at_once is None else {"at_once": at_once}))
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigError(f"seed={seed!r}: needs a whole number.")
    check_material("evaluate", noise_model, compensation)
    _check_options(fresh, max_elements, memory)
    moments, chosen = check_times("evaluate", times), find_device(device)
    for t in moments:
        check_time(noise_model, t, "evaluate")
    dataset = named(dataset) if isinstance(dataset, str) else dataset
    with jax.default_device(chosen):
        data = _test_split(dataset, dataset_root, max_elements, chosen)
        variables = jax.device_put(variables, chosen)
        once = _Evaluation(model, loss_function, noise_model, compensation, batch_size, fresh)
        size = _group(once, variables, data, chips, memory, chosen) if at_once is None else min(at_once, chips)
        run, key = _compiled((once, chosen.platform)), random.key(seed)
        found = np.zeros((0, 2, len(moments)))
        for first in range(0, chips, size):
            keys = jax.vmap(lambda chip: jax.random.fold_in(key, chip))(jnp.arange(first, first + size))
            # sums of whole numbers below 2^24 are exact, so the division is made here, in float64
            sums = np.asarray(run(variables, data, jnp.asarray(moments), keys), np.float64)
            new = np.moveaxis(sums, 0, 1)[: chips - first] / data.labels.shape[0]
            found = np.concatenate([found, new])
            _check_loss(found[:, 1], moments, first)
            results = ChipResults(moments, found[:, 0], found[:, 1])
            if on_chips is not None:
                on_chips(results)
    return results


class _Evaluation(NamedTuple):
    """One compiled call; static, so that it is compiled once per model, and size of a group."""

    model: linen.Module
    loss_function: Callable[[Array, Array], Array]
    noise_model: NoiseModel
    compensation: Compensation | None
    batch_size: int
    fresh: bool

    def run(self, variables: Variables, data: Images, times: Array, keys: Key) -> tuple[Array, Array]:
        """Correct answers `[C, T]` and summed losses `[C, T]` of chips with `keys` `[C]`, which are consumed."""
        if keys.shape[0] == 1:
            return jax.tree.map(lambda found: found[None], self.chip(variables, data, times, keys[0]))
        return jax.vmap(lambda key: self.chip(variables, data, times, key))(keys)

    def chip(self, variables: Variables, data: Images, times: Array, key: Key) -> tuple[Array, Array]:
        """Correct answers `[T]` and summed losses `[T]` of one chip. Consumes `key`."""
        k_program = jax.random.fold_in(key, 0)
        programmed = nn.program(variables, self.noise_model, self.compensation, fresh=self.fresh, key=k_program)

        def at(given: tuple[Array, Array]) -> tuple[Array, Array]:
            n, t = given
            k_drift, k_read = jax.random.split(jax.random.fold_in(key, n + 1))
            return self._classify(programmed.drift(t, key=k_drift), data, k_read)

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
            losses = per_item(self.loss_function(outputs, y), weight, "loss_function")
            return (sums[0] + right, sums[1] + jnp.sum(losses * weight)), None

        batches = (jnp.arange(indices.shape[0]), indices, weights)
        return lax.scan(body, (jnp.zeros(()), jnp.zeros(())), batches)[0]


@remembered
def _compiled(given: tuple[_Evaluation, str]) -> Callable[..., tuple[Array, Array]]:
    once, platform = given
    return Tuned(once.run, platform)


def _group(once: _Evaluation, variables: Variables, data: Images, chips: int, memory: float, device: jax.Device) -> int:
    """Chips of one call, so that all calls are about equally large."""
    if device.platform == "cpu":
        return 1
    one = _COPIES * largest_array(once.chip, variables, data, jnp.zeros((1,)), random.key(0))
    calls = math.ceil(chips / max(1, int(memory // one)))
    return math.ceil(chips / calls)


def _test_split(dataset: DatasetLike, root: str | os.PathLike[str] | None, limit: int, device: jax.Device) -> Images:
    data = images_of(dataset.load(root, train=False).head(limit), dataset, device, "the test split")
    if not data.classified or data.labels.ndim != 1:
        raise ConfigError(
            f"dataset {dataset.name}: the labels are {data.labels.dtype}{list(data.labels.shape)}; an "
            "inference measures the accuracy of a classifier, so it needs one whole number per item."
        )
    return data


def check_times(what: str, times: Sequence[float], name: str = "times") -> tuple[float, ...]:
    """Times after programming as plain numbers. Raises `ConfigError` unless each is finite, 0 or more."""
    try:
        plain = tuple(float(t) for t in times)
    except (TypeError, ValueError):
        plain = ()
    if not plain or not all(math.isfinite(t) and t >= 0 for t in plain):
        raise ConfigError(f"{what}({name}={times!r}): needs times in seconds after programming, 0 or more.")
    return plain


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"evaluate({name}={value!r}): needs a whole number > 0.")


def _check_options(fresh: bool, max_elements: int, memory: float) -> None:
    for name, value, good in (
        ("fresh", fresh, isinstance(fresh, bool)),
        ("max_elements", max_elements, isinstance(max_elements, int) and max_elements >= 0),
        ("memory", memory, isinstance(memory, (int, float)) and memory > 0),
    ):
        if not good:
            needs = {"fresh": "True or False", "max_elements": "a whole number, 0 for all", "memory": "bytes above 0"}
            raise ConfigError(f"evaluate({name}={value!r}): needs {needs[name]}.")


def _check_loss(losses: np.ndarray, times: tuple[float, ...], first: int) -> None:
    for chip, loss in enumerate(losses[first:], first):
        if not np.all(np.isfinite(loss)):
            n = int(np.argmin(np.isfinite(loss)))
            raise NonFiniteError(
                f"the loss is {loss[n]} on chip {chip} at t = {times[n]:g} s. Are there NaNs in the data, the trained "
                "variables or the model, or does the loss function not fit the model's last layer?"
            )
