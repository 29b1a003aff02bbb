"""Pictures of what programming and drift do to weights."""

import copy
from typing import Any

import numpy as np

from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import TileError
from compat.aihwkit.inference.noise.pcm import PCMLikeNoiseModel
from compat.aihwkit.simulator.configs.configs import InferenceRPUConfig, SingleRPUConfig, UnitCellRPUConfig
from compat.aihwkit.simulator.configs.devices import PulsedDevice
from compat.aihwkit.simulator.parameters.base import RPUConfigBase
from compat.aihwkit.simulator.presets.utils import PresetIOParameters
from compat.aihwkit.simulator.tiles.inference import InferenceTile
from compat.pyplot_package import pyplot
from compat.torch_package import torch


def plot_weight_drift(
    noise_model: Any = None, t_inference_list: np.ndarray | None = None, w_inits: np.ndarray | None = None,
    n_repeats: int = 25,
) -> None:  # fmt: skip
    """Draw in a new figure the mean of programmed weights over time, and a band of their deviation since programming.

    Args:
        noise_model: The material; by default phase-change memory.
        t_inference_list: Times after programming [s]; by default 15 from 1 to 1e7.
        w_inits: Weights to program, one line each; by default nine from -1 to 1.
        n_repeats: Devices of each weight.
    """
    plt = pyplot()
    plt.figure(figsize=(10, 5))
    times = np.logspace(0.0, 7.0, 15) if t_inference_list is None else t_inference_list
    targets = np.sort(np.ravel(np.linspace(-1.0, 1.0, 9) if w_inits is None else w_inits))
    model = PCMLikeNoiseModel() if noise_model is None else noise_model
    for mean, spread in zip(*_drifted(model, np.tile(targets, (n_repeats, 1)), times), strict=True):
        (line,) = plt.plot(times, mean)
        band = {"facecolor": line.get_color(), "edgecolor": "none", "linewidth": 0, "alpha": 0.3}
        plt.fill_between(times, mean - spread, mean + spread, **band)
    plt.gca().set_xscale("log")
    plt.xlabel("Time after programming [sec]")
    plt.ylabel("Weight value [norm. units]")


def _drifted(model: Any, targets: np.ndarray, times: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the weights of each column of `targets`, and spread of their drift, at each time, `[columns, times]`."""
    tile = InferenceTile(*targets.shape, InferenceRPUConfig(noise_model=model, drift_compensation=None)).eval()
    tile.set_weights(torch.as_tensor(targets))
    tile.program_weights()
    first, found = tile.get_weights()[0], []
    for t in times:
        tile.drift_weights(t_inference=float(t))
        later = tile.get_weights()[0]
        found.append((later.mean(0), (first - later).std(0)))
    means, spreads = zip(*found, strict=True)
    return torch.stack(means, 1).numpy(), torch.stack(spreads, 1).numpy()


def plot_programming_error(
    config: Any, w_range: tuple[float, float] = (-1.0, 1.0), w_init: np.ndarray | None = None, n_rows: int = 100,
    realistic_read: bool = False, n_bins: int = 101, use_cuda: bool = False, label: str | None = None,
    axes: Any = None, t_inference: float | None = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """Draw how far weights are from their targets after programming, against the target.

    Args:
        config: A device or unit cell, or a configuration.
        w_range: Weights from the lowest to the highest.
        w_init: Targets `[O, I]`; by default `n_rows` by `n_rows`, uniform in `w_range`.
        n_rows: See `w_init`.
        realistic_read: Read by noisy products, instead of exactly.
        n_bins: Edges of the bins of targets.
        use_cuda: Compute on a GPU of torch; chips of `compat` do not, so it changes nothing.
        label: Of the line.
        axes: Axes to draw into; by default the current ones.
        t_inference: Time of the read after programming [s], for configurations of inference.
        **kwargs: Of `program_weights`.

    Returns:
        The axes: mean absolute error and its standard error, in percent of half of the range.
    """
    axes = pyplot().gca() if axes is None else axes
    rpu_config = _configuration(config)
    if w_init is None:
        w_init = np.random.uniform(*w_range, size=(n_rows, n_rows)).astype(np.float32)
    tile = rpu_config.tile_class(*w_init.shape, rpu_config, bias=False).eval()
    tile.set_weights(torch.as_tensor(w_init), apply_weight_scaling=False, realistic=False)
    tile.program_weights(**kwargs)
    if t_inference is not None and isinstance(rpu_config, InferenceRPUConfig):
        tile.drift_weights(t_inference)
    found = tile.get_weights(apply_weight_scaling=False, realistic=realistic_read)[0].numpy()
    _draw_errors(axes, w_init, found, np.linspace(*w_range, n_bins), label=label)
    axes.set_xlabel("Weight value")
    axes.set_ylabel("Programming error [% of gmax]")
    return axes


def _configuration(config: Any) -> Any:
    if isinstance(config, RPUConfigBase):
        return config
    kind = SingleRPUConfig if isinstance(config, PulsedDevice) else UnitCellRPUConfig
    return kind(device=config, forward=PresetIOParameters())


def plot_model_programming_error(
    analog_model: Any, n_bins: int = 51, apply_weight_scaling: bool = False, axes: Any = None, **kwargs: Any
) -> Any:
    """Draw how far the programmed weights of a model are from what was to be programmed, read by noisy products.

    The model stays as it is.

    Args:
        analog_model: A model, programmed (and drifted, which decides the compensation of the read).
        n_bins: Edges of the bins of targets.
        apply_weight_scaling: Take logical weights, instead of those in units of the devices.
        axes: Axes to draw into; by default the current ones.
        **kwargs: Of the line, such as `label`.

    Returns:
        The axes: mean absolute error and its standard error, in percent of the largest target.

    Raises:
        TileError: If a tile is not programmed.
    """
    axes = pyplot().gca() if axes is None else axes
    pairs = [_target_and_programmed(tile, apply_weight_scaling) for tile in analog_model.analog_tiles()]
    targets, found = (np.concatenate(each) for each in zip(*pairs, strict=True))
    largest = float(np.abs(targets).max())
    _draw_errors(axes, targets, found, np.linspace(-largest, largest, n_bins), **kwargs)
    axes.set_xlabel("Normalized weight value")
    axes.set_ylabel("Programming error\n[% of abs max weight]")
    axes.set_xlim((-1.0, 1.0))
    return axes


def _target_and_programmed(tile: Any, apply_weight_scaling: bool) -> tuple[np.ndarray, np.ndarray]:
    """What was to be on a tile, and what its answers say of what was programmed, in a row each."""
    if getattr(tile, "reference_combined_weights", None) is None:
        raise TileError(
            f"plot_model_programming_error: a {type(tile).__name__} is not programmed; call model.eval() and then "
            "model.program_analog_weights()."
        )
    copied = copy.deepcopy(tile).eval()
    shown = copied.reading
    shown.tile = tile_weights.put_in(shown.tile, bridge.to_jax(copied.programmed_weights, "the programmed weights"))
    found, _ = copied.get_weights(apply_weight_scaling=apply_weight_scaling, realistic=True)
    target, _ = copied.train().get_weights(apply_weight_scaling=apply_weight_scaling)
    return target.numpy().ravel(), found.numpy().ravel()


def _draw_errors(axes: Any, targets: np.ndarray, found: np.ndarray, edges: np.ndarray, **kwargs: Any) -> None:
    """Draw mean and standard error of the distances in each bin; there is a gap where a bin is empty."""
    distance, bins = np.abs(found - targets).ravel(), len(edges) - 1
    place = np.clip(np.digitize(targets.ravel(), edges) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    known = np.where(count > 0, count, np.nan)
    mean = np.bincount(place, weights=distance, minlength=bins) / known
    square = np.bincount(place, weights=distance**2, minlength=bins) / known
    error = np.sqrt(np.maximum(square - mean**2, 0.0) / known)
    percent = 100 / ((edges[-1] - edges[0]) / 2)
    axes.errorbar(edges[:-1] + np.diff(edges) / 2, mean * percent, error * percent, **kwargs)
