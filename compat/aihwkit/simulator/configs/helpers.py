"""Configurations for training, by the name of the algorithm; see `analogjax.tile.algorithms` for the papers."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from compat.aihwkit.exceptions import ArgumentError
from compat.aihwkit.simulator.configs.compounds import (
    ChoppedTransferCompound,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    TransferCompound,
    VectorUnitCell,
)
from compat.aihwkit.simulator.configs.configs import DigitalRankUpdateRPUConfig, SingleRPUConfig, UnitCellRPUConfig
from compat.aihwkit.simulator.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    VectorUnitCellUpdatePolicy,
)
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.parameters import View

Maker = Callable[..., Any]
Makers = tuple[Maker, Maker, Maker]  # of devices, of IO parameters, of update parameters
_UNMANAGED = {"noise_management": NoiseManagementType.NONE, "bound_management": BoundManagementType.NONE}
_ONE_PULSE = {"desired_bl": 1, "update_bl_management": False, "update_management": False}
_BUFFERED_BL = 5  # pulses of one train onto the array in front of a buffer


def build_config(
    algorithm: str, device: Any, io_parameters: Any = IOParameters, up_parameters: Any = UpdateParameters,
    n_devices: int = 1, construction_seed: int = 0, **kwargs: Any,
) -> Any:  # fmt: skip
    """A configuration that trains with that algorithm; all its devices are like `device`.

    Devices and parameters are given as a class (or another function that makes one), or as an object that is copied;
    `n_devices` counts for "sgd" alone, and `kwargs` are further fields of the configuration. Raises `ArgumentError`.
    """
    name = algorithm.lower()
    if name not in _ALGORITHMS:
        raise ArgumentError(f"Algorithm {algorithm} is not known; known are {', '.join(_ALGORITHMS)}.")
    makers = _maker(device), _maker(io_parameters), _maker(up_parameters)
    _, io, update = makers
    kind, parts = _ALGORITHMS[name](makers, n_devices, construction_seed)
    return kind(**({"forward": io(), "backward": io(), "update": update()} | parts | kwargs))


def _maker(given: Any) -> Maker:
    """A function that makes an object like `given`, with some fields changed."""
    if not isinstance(given, View):
        return given

    def made(**changes: Any) -> Any:
        copied = deepcopy(given)
        for name, value in changes.items():
            setattr(copied, name, value)
        return copied

    return made


Built = tuple[type, dict[str, Any]]  # the class of the configuration, and fields of it


def _sgd(makers: Makers, n_devices: int, seed: int) -> Built:
    device = makers[0]
    if n_devices == 1:
        return SingleRPUConfig, {"device": device(construction_seed=seed)}
    cell = VectorUnitCell(
        unit_cell_devices=[device() for _ in range(n_devices)], construction_seed=seed,
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
    )  # fmt: skip
    return UnitCellRPUConfig, {"device": cell}


def _transfer(makers: Makers, n_devices: int, seed: int) -> Built:
    device, io, update = makers
    cell = TransferCompound(
        unit_cell_devices=[device(), device()], transfer_forward=io(**_UNMANAGED), transfer_update=update(),
        units_in_mbatch=True, construction_seed=seed,
    )  # fmt: skip
    return UnitCellRPUConfig, {"device": cell}


def _buffered(makers: Makers, n_devices: int, seed: int) -> Built:
    return _chopped(makers, seed, in_chop_prob=0.0, auto_scale=False)


def _chopping(makers: Makers, n_devices: int, seed: int) -> Built:
    return _chopped(makers, seed, fast_lr=0.1, auto_scale=True)


def _chopped(makers: Makers, seed: int, **given: Any) -> Built:
    device, io, update = makers
    cell = ChoppedTransferCompound(
        unit_cell_devices=[device(), device()], transfer_forward=io(**_UNMANAGED), transfer_update=update(**_ONE_PULSE),
        units_in_mbatch=False, construction_seed=seed, **given,
    )  # fmt: skip
    return UnitCellRPUConfig, {"device": cell, "update": update(desired_bl=_BUFFERED_BL)}


def _dynamic(makers: Makers, n_devices: int, seed: int) -> Built:
    device, io, update = makers
    managed = _ONE_PULSE | {"update_bl_management": True, "update_management": True}
    cell = DynamicTransferCompound(
        unit_cell_devices=[device(), device()], transfer_forward=io(), transfer_update=update(**managed),
        auto_scale=True, fast_lr=0.1, units_in_mbatch=False, construction_seed=seed,
    )  # fmt: skip
    return UnitCellRPUConfig, {"device": cell, "update": update(desired_bl=_BUFFERED_BL)}


def _mixed_precision(makers: Makers, n_devices: int, seed: int) -> Built:
    device = makers[0]
    return DigitalRankUpdateRPUConfig, {"device": MixedPrecisionCompound(device=device(construction_seed=seed))}


_ALGORITHMS: dict[str, Callable[[Makers, int, int], Built]] = {
    "sgd": _sgd,
    **dict.fromkeys(("tiki-taka", "tt", "ttv1"), _transfer),
    "ttv2": _buffered,
    **dict.fromkeys(("chopped-ttv2", "ttv3", "c-ttv2"), _chopping),
    **dict.fromkeys(("agad", "ttv4"), _dynamic),
    **dict.fromkeys(("mp", "mixed-precision"), _mixed_precision),
}
