"""The mean step that the pulses of a tile are counted with, where the steps of its devices were set by hand.

As in aihwkit: it is what was configured, until constants are set whose mean differs from it by more than twice the
configured spread; then it is that mean.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analogjax.physics.compounds import MixedPrecision, OneSided
from analogjax.physics.device import AnyCells
from analogjax.tile import Tile
from compat.aihwkit.simulator.tiles.hidden import arrays_of

_ROUNDING = 1e-3  # a relative difference that is none
_STEPS = ("dwmin_up", "dwmin_down")


def devices_of(device: Any) -> Iterator[Any]:
    """The pulsed devices with parameters of their own that a device is made of, in order."""
    if isinstance(device, (MixedPrecision, OneSided)):
        yield from devices_of(device.device)
    elif hasattr(device, "devices"):
        for part in device.devices:
            yield from devices_of(part)
    elif isinstance(getattr(device, "dw_min", None), (int, float)):
        yield device


def steps_of(device: Any) -> tuple[float, ...]:
    """The mean step of each of `devices_of`."""
    return tuple(one.dw_min for one in devices_of(device))


def counting(tile: Tile, steps: Sequence[float]) -> Tile:
    """The tile with these mean steps for `devices_of`."""
    if steps == steps_of(tile.config.device):
        return tile
    return replace(tile, config=replace(tile.config, device=_replaced(tile.config.device, list(steps))))


def _replaced(device: Any, left: list[float]) -> Any:
    if isinstance(device, (MixedPrecision, OneSided)):
        return replace(device, device=_replaced(device.device, left))
    if hasattr(device, "devices"):
        return replace(device, devices=tuple(_replaced(part, left) for part in device.devices))
    return replace(device, dw_min=left.pop(0)) if next(devices_of(device), None) is not None else device


def measured(device: Any, before: AnyCells, after: AnyCells) -> tuple[float, ...]:
    """`steps_of` once the constants `before` have become `after`; warns of each that is another one now."""
    steps = []
    for one, old, new in zip(devices_of(device), _cells_of(device, before), _cells_of(device, after), strict=True):
        if all(np.array_equal(old[name], new[name]) for name in old):
            steps.append(one.dw_min)
            continue
        mean = float(np.mean([np.abs(value) for value in new.values()], dtype=np.float64))
        far = abs(mean - one.dw_min) > max(2 * one.dw_min_dtod, _ROUNDING) * one.dw_min and mean > 0
        if far:
            warnings.warn(
                f"set_hidden_parameters: the steps of {type(one).__name__} are {mean:.4g} on average, and "
                f"dw_min={one.dw_min:g} was configured; pulses are counted with {mean:.4g} from now on.",
                stacklevel=4,
            )
        steps.append(mean if far else one.dw_min)
    return tuple(steps)


def _cells_of(device: Any, cells: AnyCells) -> Iterator[dict[str, Any]]:
    """The steps of each of `devices_of`."""
    if isinstance(device, MixedPrecision):
        yield from _cells_of(device.device, cells)
    elif isinstance(device, OneSided):
        if next(devices_of(device), None) is not None:  # a pair with parameters in common
            yield {f"{name}_{k}": own[name] for name in _STEPS for k, own in enumerate(cells)}
    elif hasattr(device, "devices"):
        for part, own in zip(device.devices, arrays_of(cells), strict=True):
            yield from _cells_of(part, own)
    elif next(devices_of(device), None) is not None:
        yield {name: cells[name] for name in _STEPS}
