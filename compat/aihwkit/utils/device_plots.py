"""Pictures of how devices respond to pulses, in the current figure of pyplot or one of their own."""

from typing import Any

import numpy as np

from compat.aihwkit.simulator.configs.configs import SingleRPUConfig, UnitCellRPUConfig
from compat.aihwkit.simulator.configs.devices import PulsedDevice
from compat.aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType, WeightNoiseType
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.utils.pulse_response import (
    compute_pulse_response,
    compute_pulse_statistics,
    estimate_n_steps,
    get_tile_for_plotting,
)
from compat.pyplot_package import pyplot

_MOST_NODES = 100
_SIDE, _GAP = 0.1, 0.01  # of a figure: the width of the panels beside the response, and what is between them


def plot_pulse_response(analog_tile: Any, direction: np.ndarray, use_forward: bool = False) -> np.ndarray:
    """Draw the weights of a tile under pulses into the current axes; see `compute_pulse_response`.

    Returns:
        The weights after each pulse `[T, O, I]`.
    """
    plt = pyplot()
    w_trace = compute_pulse_response(analog_tile, direction, use_forward)
    plt.plot(w_trace.reshape(len(w_trace), -1))
    name = type(analog_tile.rpu_config.device).__name__
    plt.title(name if use_forward else f"{name} (without cycle/read noise)")
    plt.ylabel("Weight [conductance]")
    plt.xlabel("Pulse number \\#")
    return w_trace


def plot_pulse_statistics(
    w_trace: np.ndarray, direction: np.ndarray, up_direction: bool, num_nodes: int = 100, smoothness: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the mean steps in one direction, with their standard deviation as a band, against the weight.

    Returns:
        Weights `[G]`, and mean and standard deviation of `compute_pulse_statistics`.
    """
    plt = pyplot()
    w_nodes = np.linspace(w_trace.min(), w_trace.max(), num_nodes)
    found = compute_pulse_statistics(w_nodes, w_trace, direction, up_direction, smoothness)
    means, spreads = (one.reshape(num_nodes, -1) for one in found)
    for mean, spread in zip(means.T, spreads.T, strict=True):
        (line,) = plt.plot(w_nodes, mean)
        plt.fill_between(w_nodes, mean - spread, mean + spread, edgecolor="none", facecolor=line.get_color(), alpha=0.5)
    plt.xlabel("Weight $w$")
    plt.ylabel("Avg. step $\\Delta w$")
    plt.title("up-direction" if up_direction else "down-direction")
    return w_nodes, *found


def plot_response_overview(
    rpu_config: Any, n_loops: int = 5, n_steps: int | None = None, n_traces: int = 5, use_cuda: bool = False,
    smoothness: float = 0.1,
) -> None:  # fmt: skip
    """Draw into the current figure: noisy weights under pulses, the same without noise, and steps up and down.

    Args:
        rpu_config: The configuration of one device or unit cell.
        n_loops: Cycles, up and then down.
        n_steps: Pulses of each half of a cycle; by default `estimate_n_steps`.
        n_traces: Devices.
        use_cuda: Changes nothing; see `get_tile_for_plotting`.
        smoothness: See `compute_pulse_statistics`.
    """
    plt = pyplot()
    n_steps = estimate_n_steps(rpu_config) if n_steps is None else n_steps
    direction = _cycles(n_steps, _whole_picture(n_loops, n_steps))
    plt.clf()
    noisy = get_tile_for_plotting(rpu_config, n_traces, use_cuda)
    plt.subplot(3, 1, 1)
    plot_pulse_response(noisy, direction, use_forward=True)
    plt.subplot(3, 1, 2)
    w_trace = plot_pulse_response(_quiet_twin(noisy, rpu_config, n_traces, use_cuda, None), direction)
    for place, up in ((5, True), (6, False)):
        plt.subplot(3, 2, place)
        plot_pulse_statistics(w_trace, direction, up, min(n_steps, _MOST_NODES), smoothness)
    plt.tight_layout()


def plot_device(device: Any, w_noise: float = 0.0, **kwargs: Any) -> None:
    """Draw `plot_response_overview` of a device, read with noise of its weights, in a new figure."""
    pyplot().figure(figsize=(7, 7))
    plot_response_overview(_read_alone(device, w_noise), **kwargs)


def plot_device_compact(
    device: Any, w_noise: float = 0.0, n_steps: int | None = None, n_traces: int = 3, n_loops: int = 2,
    w_init: float | None = None, use_cuda: bool = False, axes: Any = None, **plot_kwargs: Any,
) -> Any:  # fmt: skip
    """Draw the response of a device and, beside it, its mean steps up and down.

    Args:
        device: A device or unit cell.
        w_noise: Standard deviation of the weights while they are read.
        n_steps: Pulses of each half of a cycle; by default `estimate_n_steps`.
        n_traces: Devices.
        n_loops: Cycles.
        w_init: Weights at the start; see `get_tile_for_plotting`.
        use_cuda: Changes nothing; see `get_tile_for_plotting`.
        axes: Axes to draw the response alone into.
        **plot_kwargs: Of the lines of the response.

    Returns:
        The figure; the axes, where they were given.
    """
    config = _read_alone(device, w_noise)
    n_steps = estimate_n_steps(config) if n_steps is None else n_steps
    figure = None
    if axes is None:
        figure = pyplot().figure(figsize=(12, 4))
        axes = figure.add_subplot(1, 1, 1)
    noisy = get_tile_for_plotting(config, n_traces, use_cuda, w_init=w_init)
    limit = _draw_compact(axes, noisy, _cycles(n_steps, 2 * n_loops * n_steps), plot_kwargs)
    if figure is None:
        return axes
    direction = _cycles(n_steps, _whole_picture(1, n_steps))
    w_trace = compute_pulse_response(_quiet_twin(noisy, config, n_traces, use_cuda, w_init), direction)
    _draw_steps_beside(figure, axes, w_trace, direction, min(n_steps, _MOST_NODES), limit)
    return figure


def plot_device_symmetry(
    device: Any, w_noise: float = 0.0, n_pulses: int = 10000, n_traces: int = 3, use_cuda: bool = False,
    w_init: float = 1.0,
) -> None:  # fmt: skip
    """Draw in a new figure how alternating pulses, up and down, take weights from `w_init` to the symmetry point."""
    plt = pyplot()
    plt.figure(figsize=(10, 5))
    tile = get_tile_for_plotting(_read_alone(device, w_noise), n_traces, use_cuda, w_init=w_init)
    plot_pulse_response(tile, np.where(np.arange(n_pulses) % 2, -1.0, 1.0))
    plt.ylim(-1, 1)
    plt.grid(True)


def _draw_compact(axes: Any, tile: Any, direction: np.ndarray, plot_kwargs: dict[str, Any]) -> float:
    """Draw the weights of a tile as its products show them; the half height of the picture."""
    w_trace = compute_pulse_response(tile, direction, use_forward=True).reshape(len(direction), -1)
    limit = 1.2 * float(np.abs(w_trace).max())
    axes.plot(w_trace, **{"linewidth": 1, **plot_kwargs})
    axes.set_title(type(tile.rpu_config.device).__name__)
    axes.set_xlabel("Pulse number \\#")
    axes.set_ylim(-limit, limit)
    axes.set_xlim(0, len(direction) - 1)
    axes.ticklabel_format(axis="x", useMathText=True)
    return limit


def _draw_steps_beside(
    figure: Any, axes: Any, w_trace: np.ndarray, direction: np.ndarray, num_nodes: int, limit: float
) -> None:
    """Draw the mean steps up to the left of the axes, and those down to the right."""
    w_nodes = np.linspace(w_trace.min(), w_trace.max(), num_nodes)
    up, down = (
        np.abs(compute_pulse_statistics(w_nodes, w_trace, direction, is_up)[0].reshape(num_nodes, -1))
        for is_up in (True, False)
    )
    left, bottom, width, height = axes.get_position().bounds
    axes.set_position((left + _GAP + _SIDE, bottom, width - 2 * (_GAP + _SIDE), height))
    axes.set_yticks([])
    panels = [figure.add_axes((at, bottom, _SIDE, height)) for at in (left, left + width - _SIDE)]
    longest = 1.2 * float(np.nanmax([up, down]))
    for panel, steps, name in zip(panels, (up, down), ("Up", "Down"), strict=True):
        panel.plot(steps, w_nodes)
        panel.set_xlabel(f"{name} pulse size")
        panel.set_ylim(-limit, limit)
        panel.set_xlim(0.0, longest)
    panels[0].set_ylabel("Weight \n [conductance]")
    panels[1].set_yticks([])


def _quiet_twin(noisy: Any, config: Any, n_traces: int, use_cuda: bool, w_init: float | None) -> Any:
    """A tile of the same devices without noise."""
    quiet = get_tile_for_plotting(config, n_traces, use_cuda, noise_free=True, w_init=w_init)
    quiet.set_hidden_parameters(noisy.get_hidden_parameters())
    return quiet


def _whole_picture(n_loops: int, n_steps: int) -> int:
    """Pulses of so many cycles: not less than 1000, and not more than 50000, or one cycle."""
    return min(max(2 * n_loops * n_steps, 1000), max(50000, 2 * n_steps))


def _cycles(n_steps: int, total: int) -> np.ndarray:
    """Directions `[total]` of pulses up and down by turns, `n_steps` each."""
    return np.sign(np.sin(np.pi * (np.arange(total) + 1) / n_steps))


def _read_alone(device: Any, w_noise: float) -> Any:
    """A configuration of a device whose products have no noise but that of the weights."""
    reading = IOParameters(
        inp_res=-1.0, out_res=-1.0, out_bound=100.0, out_noise=0.0, w_noise=w_noise,
        w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT, bound_management=BoundManagementType.NONE,
        noise_management=NoiseManagementType.NONE,
    )  # fmt: skip
    kind = SingleRPUConfig if isinstance(device, PulsedDevice) else UnitCellRPUConfig
    return kind(device=device, forward=reading)
