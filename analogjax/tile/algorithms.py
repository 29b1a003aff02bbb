"""Configurations for training, by the name of the algorithm: what aihwkit's `build_config` makes.

| algorithm                  | device                                                 | source                         |
|----------------------------|--------------------------------------------------------|--------------------------------|
| sgd                        | itself; of `n_devices` one, at random, for each vector | doi:10.3389/fnins.2016.00333   |
| ttv1, tt, tiki-taka        | `tiki_taka`                                            | doi:10.3389/fnins.2020.00103   |
| ttv2                       | `c_ttv2` that does not chop                            | doi:10.3389/frai.2021.699148   |
| c-ttv2, chopped-ttv2, ttv3 | `c_ttv2` that scales itself                            | doi:10.1038/s41467-024-51221-z |
| agad, ttv4                 | `agad` that scales itself                              | doi:10.1038/s41467-024-51221-z |
| mp, mixed-precision        | `MixedPrecision`                                       | doi:10.3389/fnins.2020.00406   |
| residual                   | `residual` of `n_devices` (not in aihwkit)             | arXiv:2510.02516               |
| rider, e-rider             | `rider`, `e_rider` (not in aihwkit)                    | arXiv:2602.21321               |
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from analogjax.errors import ConfigError
from analogjax.physics import (
    Device,
    MixedPrecision,
    Periphery,
    Pulses,
    UpdatePolicy,
    Vector,
    agad,
    c_ttv2,
    e_rider,
    residual,
    rider,
    tiki_taka,
)
from analogjax.physics.checks import is_whole
from analogjax.tile.mapping import Mapping
from analogjax.tile.tile import TileConfig

_Made = tuple[Device, Pulses]  # the device, and the pulses of the gradient update
_PERIPHERY, _PULSES, _MAPPING = Periphery(), Pulses(), Mapping()
_BUFFERED_BL = 5  # pulses of one train onto the array in front of a buffer


def build_config(
    algorithm: str, device: Any, periphery: Periphery = _PERIPHERY, pulses: Pulses = _PULSES, n_devices: int = 1,
    mapping: Mapping = _MAPPING,
) -> TileConfig:  # fmt: skip
    """Build the configuration of a tile that is trained by a named algorithm.

    Args:
        algorithm: Name of the algorithm, as in the table of this module.
        device: Device of every array of the algorithm.
        n_devices: Number of devices or arrays, for "sgd" and "residual" only.
        periphery: Periphery of both directions and of the reads of a transfer.
        pulses: Pulses of all updates.
        mapping: How logical weights are mapped to chips.

    Returns:
        The configuration, to be given to a layer.

    Raises:
        ConfigError: If the algorithm is unknown, with the known names, or does not take that number of devices.

    Example:
        >>> config = build_config("agad", SoftBoundsReference())
        >>> layer = AnalogLinear(10, config)
    """
    name = algorithm.lower()
    if name not in _ALGORITHMS:
        raise ConfigError(f"build_config({algorithm!r}): unknown algorithm; known are {', '.join(_ALGORITHMS)}.")
    if not is_whole(n_devices, 1):
        raise ConfigError(f"build_config(n_devices={n_devices!r}): needs a whole number of 1 or more.")
    if n_devices != 1 and name not in COUNTED:
        raise ConfigError(
            f"build_config({algorithm!r}, n_devices={n_devices}): has a fixed number of devices; leave n_devices "
            f"out, or use one of {', '.join(COUNTED)}."
        )
    made, update = _ALGORITHMS[name](device, periphery, pulses, n_devices)
    return TileConfig(device=made, forward=periphery, backward=periphery, update=update, mapping=mapping)


def _sgd(device: Any, periphery: Periphery, pulses: Pulses, n_devices: int) -> _Made:
    if n_devices == 1:
        return device, pulses
    return Vector(devices=(device,) * n_devices, update_policy=UpdatePolicy.SINGLE_RANDOM), pulses


def _transfer(device: Any, periphery: Periphery, pulses: Pulses, n_devices: int) -> _Made:
    compound = tiki_taka((device,) * 2, transfer_forward=periphery.unmanaged(), transfer_update=pulses)
    return compound, pulses


def _buffered(device: Any, periphery: Periphery, pulses: Pulses, n_devices: int) -> _Made:
    return _chopped(device, periphery, pulses, in_chop_prob=0.0)


def _chopping(device: Any, periphery: Periphery, pulses: Pulses, n_devices: int) -> _Made:
    return _chopped(device, periphery, pulses, fast_lr=0.1, auto_scale=True)


def _chopped(device: Any, periphery: Periphery, pulses: Pulses, **given: Any) -> _Made:
    single = replace(pulses, desired_bl=1, update_bl_management=False, update_management=False)
    compound = c_ttv2((device,) * 2, transfer_forward=periphery.unmanaged(), transfer_update=single, **given)
    return compound, replace(pulses, desired_bl=_BUFFERED_BL)


def _dynamic(device: Any, periphery: Periphery, pulses: Pulses, n_devices: int) -> _Made:
    single = replace(pulses, desired_bl=1, update_bl_management=True, update_management=True)
    compound = agad((device,) * 2, transfer_forward=periphery, transfer_update=single, fast_lr=0.1, auto_scale=True)
    return compound, replace(pulses, desired_bl=_BUFFERED_BL)


def _rider(make: Callable[..., Device]) -> Callable[[Any, Periphery, Pulses, int], _Made]:
    def made(device: Any, periphery: Periphery, pulses: Pulses, n_devices: int) -> _Made:
        single = replace(pulses, desired_bl=1, update_bl_management=True, update_management=True)
        compound = make((device,) * 2, transfer_forward=periphery.unmanaged(), transfer_update=single)
        return compound, replace(pulses, desired_bl=_BUFFERED_BL)

    return made


def _mixed_precision(device: Any, periphery: Periphery, pulses: Pulses, n_devices: int) -> _Made:
    return MixedPrecision(device=device), pulses


def _residual(device: Any, periphery: Periphery, pulses: Pulses, n_devices: int) -> _Made:
    if n_devices < 2:
        raise ConfigError(
            f"build_config('residual', n_devices={n_devices}): the arrays correct each other; give 2 or more."
        )
    compound = residual((device,) * n_devices, transfer_forward=periphery.unmanaged(), transfer_update=pulses)
    return compound, pulses


_ALGORITHMS: dict[str, Callable[[Any, Periphery, Pulses, int], _Made]] = {
    "sgd": _sgd,
    **dict.fromkeys(("tiki-taka", "tt", "ttv1"), _transfer),
    "ttv2": _buffered,
    **dict.fromkeys(("chopped-ttv2", "ttv3", "c-ttv2"), _chopping),
    **dict.fromkeys(("agad", "ttv4"), _dynamic),
    **dict.fromkeys(("mp", "mixed-precision"), _mixed_precision),
    "residual": _residual,
    "rider": _rider(rider),
    "e-rider": _rider(e_rider),
}
ALGORITHMS = tuple(_ALGORITHMS)
"""Names that `build_config` knows."""
COUNTED = ("sgd", "residual")
"""Algorithms for any number of devices; the others have as many as they need."""
