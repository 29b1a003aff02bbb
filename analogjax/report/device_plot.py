"""Plots of devices: their pulse response; for compounds, also their hidden arrays."""

import os
from typing import Any

import jax
import numpy as np

from analogjax._typing import Key
from analogjax.physics import Pulses, Vector
from analogjax.physics.compounds import OneSided
from analogjax.physics.devices.pulsed import Pulsed
from analogjax.report.figure import new_figure, write_figure
from analogjax.report.pulse_response import alternating, hidden_arrays, leaves, response, step_sizes

_SHOWN = 4  # specimens that are drawn
_POINTS = 6000  # of a line: fewer would beat with the sawteeth of digital memories


def plot_device(
    device: Any, path: str | os.PathLike[str], *, pulses: Pulses | None = None, title: str = "", devices: int = 200,
    key: Key,
) -> None:  # fmt: skip
    """Plot a device.

    For a single device or a unit cell: its response to up, then down pulses; its step against the weight, mean and
    standard deviation; its weight under alternating pulses, and the symmetry point they lead to. For a compound: its
    visible weight, its arrays and its digital memory under equal requests, made with `pulses`.

    Args:
        device: The device.
        path: File to write (.png, .svg, .pdf).
        pulses: Pulses of the requests to a compound.
        devices: Number of crosspoints.
        title: Title of the plot.
        key: Consumed. Random are the device-to-device and the cycle-to-cycle variation.

    Raises:
        MissingPackage: If matplotlib is not installed.
        ConfigError: If the device has no pulses, or the file can't be written.
    """
    leaves(device)  # raises for devices without pulses
    if isinstance(device, (Pulsed, Vector, OneSided)):
        figure = new_figure(11, 7.5)
        _draw_device(figure, device, devices, key)
    else:
        figure = new_figure(9, 8)
        _draw_compound(figure, device, pulses or Pulses(), devices, key)
    figure.suptitle(title or type(device).__name__)
    write_figure(figure, path, dpi=120)


def _draw_device(figure: Any, device: Any, n: int, key: Key) -> None:
    k_response, k_steps, k_pairs = jax.random.split(key, 3)
    (above, sizes), (pairs, ends) = figure.subplots(2, 2)
    signs, w = response(device, n, k_response)
    _lines(above, np.arange(len(w)), w)
    above.axvline(np.sum(signs > 0), color="0.6", linestyle=":")
    above.set(xlabel="pulses, up then down", ylabel="weight [w]", title="response")
    above.legend(frameon=False, loc="lower left")
    _draw_steps(sizes, device, n, k_steps)
    w = alternating(device, n, k_pairs)
    _lines(pairs, np.arange(len(w)), w)
    pairs.set(xlabel="pairs of an up and a down pulse", ylabel="weight [w]", title="alternating pulses")
    pairs.set_ylim(above.get_ylim())  # shows the drift relative to the range
    last = w[-max(len(w) // 10, 1) :].mean(0)
    ends.hist(last, bins=30, color="C0", alpha=0.8)
    ends.axvline(np.mean(last), color="k")
    ends.set(xlabel="weight after alternating pulses [w]", ylabel="devices")
    ends.set_title(f"where alternating pulses lead: mean {np.mean(last):.2g}, spread {np.std(last):.2g}")
    for axes in (above, sizes, pairs):
        axes.grid(alpha=0.3)


def _draw_steps(axes: Any, device: Any, n: int, key: Key) -> None:
    steps = step_sizes(device, n, key)
    for name, size, color, dash in (("up", steps.up, "C3", "-"), ("down", steps.down, "C0", "--")):
        enough = np.sum(np.isfinite(size), 1) >= max(n // 10, 2)
        size, grid = size[enough], steps.weights[enough]
        mean, spread = np.nanmean(size, 1), np.nanstd(size, 1)
        axes.plot(grid, mean, color=color, linestyle=dash, label=name)
        axes.fill_between(grid, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="weight [w]", ylabel="size of one step [w]", title="step without noise, spread over devices")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if np.nanmin(steps.up) < 0 else 0.0)
    axes.ticklabel_format(axis="y", scilimits=(-2, 3))
    axes.legend(frameon=False)


def _draw_compound(figure: Any, device: Any, pulses: Pulses, n: int, key: Key) -> None:
    found = hidden_arrays(device, pulses, min(n, 32), key)
    time = np.arange(1, len(found.signs) + 1)
    panels = figure.subplots(3 if found.digital else 2, 1, sharex=True)
    _lines(panels[0], time, found.visible)
    panels[0].set(ylabel="visible weight [w]", title=f"updates that ask for {found.asked:.2g} [w] each, up then down")
    for k, (name, w) in enumerate(found.arrays.items()):
        _lines(panels[1], time, w, color=f"C{k}", name=name)
    panels[1].set(ylabel="weight inside [w]", title="its arrays")
    for k, (name, w) in enumerate(found.digital.items()):
        _lines(panels[2], time, w, color=f"C{k + 2}", name=name)
        panels[2].set(ylabel="value", title="its digital memory")
    panels[-1].set_xlabel("updates")
    for axes in panels:
        axes.axvline(np.sum(found.signs > 0), color="0.6", linestyle=":")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))  # outside: curves fill these axes


def _lines(axes: Any, time: np.ndarray, w: np.ndarray, color: str = "C0", name: str = "") -> None:
    """Some devices as thin lines, and the mean of all as a thick one."""
    every = max(len(time) // _POINTS, 1)
    for k in range(min(_SHOWN, w.shape[1])):
        label = "single devices" if k == 0 and not name else None
        axes.plot(time[::every], w[::every, k], color=color, alpha=0.45, linewidth=0.7, label=label)
    mean = w.mean(1)
    axes.plot(time[::every], mean[::every], color=color if name else "k", linewidth=1.8, label=name or "mean of all")
