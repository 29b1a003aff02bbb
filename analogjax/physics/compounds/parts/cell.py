"""Operations of compounds on all devices of a crosspoint at once. Letters: `O` rows, `I` columns, `K` devices.

A compound holds its devices, their cells and their states as tuples of `K`, in the same order.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any

import jax

from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.device import Device

Visit = Callable[[Any, Any, Any, Key], Any]  # (device, cells, state, key) -> state


def check_pulsed(owner: str, devices: Sequence[Any]) -> None:
    """Raise `ConfigError` if one of the devices is not pulsed."""
    for k, device in enumerate(devices):
        if not hasattr(device, "respond"):
            raise ConfigError(f"{owner}(devices=...): device {k}, {device!r}, sees no pulses; give pulsed devices.")


def mean_granularity(devices: Sequence[Any]) -> Scalar:
    """Mean granularity of all devices, whichever of them is pulsed; aihwkit counts the pulses of a cell in it [w]."""
    return sum(device.granularity for device in devices) / len(devices)


def fabricate_each(devices: Sequence[Device], shape: tuple[int, int], dtype: DType, key: Key) -> tuple[Any, ...]:
    """The constants of each device. Consumes `key`."""
    keys = jax.random.split(key, len(devices))
    return tuple(device.fabricate(shape, dtype, own) for device, own in zip(devices, keys, strict=True))


def write_each(devices: Sequence[Device], cells: tuple, weights: Sequence[Array], key: Key) -> tuple[Any, ...]:
    """The states of the devices that hold `weights`, `[O, I]` each. Consumes `key`."""
    keys = jax.random.split(key, len(devices))
    return tuple(device.write(own, w, k) for device, own, w, k in zip(devices, cells, weights, keys, strict=True))


def each(act: Visit, devices: Sequence[Any], cells: tuple, parts: tuple, key: Key) -> tuple[Any, ...]:
    """The states of the devices after applying `act` to each. Consumes `key`."""
    keys = jax.random.split(key, len(devices))
    return tuple(act(*given) for given in zip(devices, cells, parts, keys, strict=True))


def rest_each(devices: Sequence[Device], cells: tuple, parts: tuple, key: Key, alpha: Scalar) -> tuple[Any, ...]:
    """`Device.rest` of each device. Consumes `key`."""
    return each(lambda device, own, part, k: device.rest(own, part, k, alpha), devices, cells, parts, key)


def reset_each(devices: Sequence[Device], cells: tuple, parts: tuple, chosen: Array, key: Key) -> tuple[Any, ...]:
    """`Device.reset_cells` of each device. Consumes `key`."""
    return each(lambda device, own, part, k: device.reset_cells(own, part, chosen, k), devices, cells, parts, key)


def age_each(devices: Sequence[Device], cells: tuple, parts: tuple, dt: Scalar, key: Key) -> tuple[Any, ...]:
    """`Device.age` of each device. Consumes `key`."""
    return each(lambda device, own, part, k: device.age(own, part, dt, k), devices, cells, parts, key)


def weighted(gammas: Sequence[float], weights: Sequence[Array]) -> Array:
    """`sum_k gamma_k w_k` `[O, I]`, without the terms whose weight is 0."""
    pairs = zip(gammas, weights, strict=True)
    return reduce(add, [w if gamma == 1 else gamma * w for gamma, w in pairs if gamma != 0])


def replaced(items: tuple, k: int, item: Any) -> tuple:
    """The tuple with another item number `k`."""
    return (*items[:k], item, *items[k + 1 :])
