"""Operations of compounds on all devices of a crosspoint at once. Letters: `O` rows, `I` columns, `K` devices.

A compound holds its devices, their cells and their states as tuples of `K`, in the same order.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.device import Device

Visit = Callable[[Any, Any, Any, Key], Any]  # (device, cells, state, key) -> state
_SUCH = ", such as (SoftBounds(), SoftBounds())"


def check_devices(compound: Any) -> None:
    """Convert the list of devices of a compound to a tuple. Raises `ConfigError` for what holds no devices."""
    owner, given = type(compound).__name__, compound.devices
    if isinstance(given, list):  # a list would be neither hashed nor sent
        object.__setattr__(compound, "devices", tuple(given))
    elif not isinstance(given, tuple):
        raise ConfigError(f"{owner}(devices={given!r}): needs a tuple of devices{_SUCH}.")
    for k, device in enumerate(compound.devices):
        if not is_device(device):
            raise ConfigError(f"{owner}(devices=...): device {k}, {device!r}, is none; give devices.")


_METHODS = ("fabricate", "write", "update", "rest", "reset_cells", "age")


def is_device(value: Any) -> bool:
    """Whether its class has the methods of a `Device`; its properties, which may compute, are not looked at."""
    return all(hasattr(type(value), name) for name in _METHODS)


def as_devices(owner: str, devices: Any) -> tuple[Any, ...]:
    """The devices that a function was given as a tuple. Raises `ConfigError` if they can't be counted."""
    if is_device(devices) or not isinstance(devices, Iterable):
        raise ConfigError(f"{owner}({devices!r}): needs a tuple of devices{_SUCH}.")
    return tuple(devices)


def check_pulsed(owner: str, devices: Sequence[Any], written: bool = False) -> None:
    """Raise `ConfigError` if one of the devices is not pulsed.

    With `written`, all but the first may be compounds that have no pulses of their own, but can be updated by them.
    """
    for k, device in enumerate(devices):
        compound = hasattr(device, "devices") or hasattr(device, "device")
        if not hasattr(device, "respond") and not (written and k > 0 and compound):
            raise ConfigError(f"{owner}(devices=...): device {k}, {device!r}, sees no pulses; give pulsed devices.")


def mean_granularity(devices: Sequence[Any]) -> Scalar:
    """Mean granularity of all devices, whichever of them is pulsed; aihwkit counts the pulses of a cell in it [w]."""
    return sum(device.granularity for device in devices) / len(devices)


def digital(shape: tuple[int, ...], dtype: DType) -> Array:
    """Zeros for a digital sum next to weights of that dtype: at least float32, or small addends would be lost."""
    return jnp.zeros(shape, jnp.promote_types(dtype, jnp.float32))


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
