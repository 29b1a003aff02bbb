"""Parameters that all presets share, and what gives a view the values of a native object."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

from analogjax.physics import Periphery, Pulses
from analogjax.physics.compounds.parts import fields
from analogjax.physics.presets import PRESET_PERIPHERY, PRESET_PULSES, STANDARD_PERIPHERY
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.flat_periphery import flat
from compat.parameters import as_written

_Class = TypeVar("_Class", bound=type)


@dataclass_transform()
def like(native: Any) -> Callable[[_Class], _Class]:
    """Make a view class a dataclass whose defaults are the values of `native`, so that none is written twice."""

    def decorate(cls: _Class) -> _Class:
        kinds, values = {}, values_of(native)
        for field in dataclasses.fields(cls):
            value = as_written(values.get(field.name, field.default), field.type)
            if field.default is not dataclasses.MISSING and value != field.default:
                setattr(cls, field.name, value)
                kinds[field.name] = field.type
        cls.__annotations__ = kinds
        dataclasses.dataclass(cls)  # in place
        return cls

    return decorate


def values_of(native: Any) -> dict[str, Any]:
    """The values of a native object under aihwkit's names."""
    if isinstance(native, Periphery):
        return flat(native)
    return fields.flat(native)


@like(PRESET_PERIPHERY)
class PresetIOParameters(IOParameters):
    """7 bit in, 9 bit out."""


@like(STANDARD_PERIPHERY)
class StandardIOParameters(IOParameters):
    """8 bit in, 8 bit out."""


@like(PRESET_PULSES)
class PresetUpdateParameters(UpdateParameters):
    """Trains of up to 31 pulses."""


def viewing(kind: type, native: Any, **given: Any) -> Any:
    """A view of class `kind` with the values of `native`, so that none is written twice, and the fields `given`."""
    values = values_of(native)
    shared = [field for field in dataclasses.fields(kind) if field.name in values and field.name not in given]
    return kind(**{field.name: _viewed(values[field.name], field.type) for field in shared}, **given)


def _viewed(value: Any, kind: Any) -> Any:
    if isinstance(value, Periphery):
        return viewing(PresetIOParameters, value)
    if isinstance(value, Pulses):
        return viewing(PresetUpdateParameters, value)
    return list(value) if isinstance(value, tuple) else as_written(value, kind)
