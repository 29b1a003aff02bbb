"""Parameters in the form in which aihwkit hands them to its compiled core: objects of another class for each view.

They are what `as_bindings()` gives, can be changed, and make a simulator tile: `create_array(x_size, d_size, device)`.
There is no compiled core to hand them to here, so what they hold goes back into a view, which becomes native.
"""

import dataclasses
from enum import Enum
from functools import cache
from typing import Any, ClassVar

from compat.aihwkit.exceptions import ConfigError

# aihwkit's names, by the names of the views; a class without a row is bound as its base is
NAMES = {
    "AnalogTileParameter": "IOManagedRPUConfig",
    "AnalogTileInputOutputParameter": "IOParameters",
    "AnalogTileUpdateParameter": "UpdateParameters",
    "DriftParameter": "SimpleDriftParameter",
    "WeightModifierParameter": "WeightModifierParameter",
    "WeightClipParameter": "WeightClipParameter",
    "WeightRemapParameter": "WeightRemapParameter",
    "FloatingPointTileParameter": "FloatingPointDevice",
    "IdealResistiveDeviceParameter": "IdealDevice",
    "PulsedResistiveDeviceParameter": "PulsedDevice",
    "ConstantStepResistiveDeviceParameter": "ConstantStepDevice",
    "LinearStepResistiveDeviceParameter": "LinearStepDevice",
    "SoftBoundsResistiveDeviceParameter": "SoftBoundsDevice",
    "SoftBoundsReferenceResistiveDeviceParameter": "SoftBoundsReferenceDevice",
    "ExpStepResistiveDeviceParameter": "ExpStepDevice",
    "PowStepResistiveDeviceParameter": "PowStepDevice",
    "PowStepReferenceResistiveDeviceParameter": "PowStepReferenceDevice",
    "PiecewiseStepResistiveDeviceParameter": "PiecewiseStepDevice",
    "VectorResistiveDeviceParameter": "UnitCell",
    "OneSidedResistiveDeviceParameter": "OneSidedUnitCell",
    "TransferResistiveDeviceParameter": "TransferCompound",
    "BufferedTransferResistiveDeviceParameter": "BufferedTransferCompound",
    "ChoppedTransferResistiveDeviceParameter": "ChoppedTransferCompound",
    "DynamicTransferResistiveDeviceParameter": "DynamicTransferCompound",
    "AbstractResistiveDeviceParameter": "DigitalRankUpdateCell",
    "MixedPrecResistiveDeviceParameter": "MixedPrecisionCompound",
}
IN_TILES = ("WeightModifierParameter", "WeightClipParameter", "WeightRemapParameter")
_BY_VIEW = {view: name for name, view in NAMES.items()}
_RENAMED = {"forward": "forward_io", "backward": "backward_io"}  # of a configuration, of which nothing else counts
_OF_A_TILE = ("forward", "backward", "update")
_INSIDE = ("unit_cell_devices", "device")  # devices of a cell


class Bindings:
    """Parameters of one kind; each kind is a class of its own, made by `class_of`.

    Attributes are those of the view, with enums and parameters inside in the form of bindings, too. Devices inside a
    cell are not among them: they are appended.
    """

    _view: ClassVar[Any]
    _inside: list["Bindings"]

    def __init__(self) -> None:
        vars(self)["_inside"] = []
        self._take(self._view())

    def _take(self, view: Any) -> None:
        for name in _fields_of(type(view)):
            vars(self)[_renamed(type(view), name)] = _bound(getattr(view, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        vars(self)[name] = value

    def append_parameter(self, device: "Bindings") -> bool:
        """Add a device to a unit cell."""
        self._inside.append(device)
        return True

    def set_device_parameter(self, device: "Bindings") -> bool:
        """Set the device of a cell whose updates are digital."""
        self._inside[:] = [device]
        return True

    def calc_weight_granularity(self) -> float:
        """The mean step of the devices, in units of the weight."""
        return float(self.view().to_native().granularity)

    def view(self) -> Any:
        """A view that holds what this does."""
        made = self._view()
        for name in _fields_of(type(made)):
            value = vars(self)[_renamed(type(made), name)]
            setattr(made, name, _unbound(value, getattr(made, name)))
        if hasattr(made, "unit_cell_devices"):
            made.unit_cell_devices = [device.view() for device in self._inside]
        elif self._inside:
            made.device = self._inside[0].view()
        return made

    def create_array(self, x_size: int, d_size: int, device: "Bindings | None" = None) -> Any:
        """A simulator tile of `d_size` rows and `x_size` columns; with converters it needs the parameters of a device.

        Raises `ConfigError` for what makes no tile.
        """
        view = self.view()
        if not hasattr(view, "simulator"):
            raise ConfigError(f"{type(self).__name__}.create_array: makes no tile; use that of AnalogTileParameter.")
        if device is None:
            return view.simulator(x_size, d_size)
        return view.simulator(x_size, d_size, device.view(), self)

    def __reduce__(self) -> Any:
        return of, (self.view(),)  # the class is in no module that it could be imported from

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({shown})"


def of(view: Any) -> Bindings:
    """The bindings of a view, and of the devices in it."""
    kind: Any = type(view)
    made = class_of(kind)()
    made._take(view)
    for device in getattr(view, "unit_cell_devices", ()):
        made.append_parameter(of(device))
    if hasattr(view, "device") and not _is_tile(type(view)):
        made.set_device_parameter(of(view.device))
    return made


def name_of(kind: type) -> str | None:
    """aihwkit's name of the class that a class of views is bound to; `None`: it is not bound."""
    return next((_BY_VIEW[base.__name__] for base in kind.__mro__ if base.__name__ in _BY_VIEW), None)


@cache
def class_of(kind: Any) -> type[Bindings]:
    """The class of bindings of a class of views. Raises `ConfigError` where it has none."""
    name = name_of(kind)
    if name is None:
        raise ConfigError(f"{kind.__name__} is no part of a tile that aihwkit's compiled core would know.")
    return type(name, (Bindings,), {"_view": kind, "__doc__": f"A `{kind.__name__}`, bound."})


@cache
def enum_of(kind: Any) -> type[Enum]:
    """The enum of bindings for one of views: its names are the values of that."""
    return Enum(kind.__name__, {str(member.value): n for n, member in enumerate(kind)})  # type: ignore[return-value]


def _is_tile(kind: type) -> bool:
    return name_of(kind) == "AnalogTileParameter"


def _fields_of(kind: type) -> list[str]:
    if _is_tile(kind):
        return list(_OF_A_TILE)
    return [field.name for field in dataclasses.fields(kind) if field.name not in _INSIDE]


def _renamed(kind: type, name: str) -> str:
    return _RENAMED.get(name, name) if _is_tile(kind) else name


def _bound(value: Any) -> Any:
    if isinstance(value, Enum):
        return enum_of(type(value))[str(value.value)]
    if dataclasses.is_dataclass(value) and name_of(type(value)) is not None:
        return of(value)
    return list(value) if isinstance(value, list) else value


def _unbound(value: Any, before: Any) -> Any:
    """A value of bindings as that of a view which has been `before`."""
    if isinstance(value, Bindings):
        return value.view()
    if isinstance(before, Enum) and isinstance(value, Enum):
        return type(before)(value.name)
    return list(value) if isinstance(value, list) else value
