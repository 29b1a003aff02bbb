"""Parameters that all presets share, and what gives a view the values of a native object."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

from analogjax.physics import Periphery, Pulses
from analogjax.physics.compounds.parts.fields import flat
from analogjax.physics.presets import PRESET_PERIPHERY, PRESET_PULSES, STANDARD_PERIPHERY
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.parameters import as_written

_Class = TypeVar("_Class", bound=type)


@dataclass_transform()
def like(native: Any) -> Callable[[_Class], _Class]:
    """Make a view class a dataclass whose defaults are the values of `native`, so that none is written twice."""

    def decorate(cls: _Class) -> _Class:
        kinds = {}
        for field in dataclasses.fields(cls):
            value = as_written(getattr(native, field.name, field.default), field.type)
            if field.default is not dataclasses.MISSING and value != field.default:
                setattr(cls, field.name, value)
                kinds[field.name] = field.type
        cls.__annotations__ = kinds
        dataclasses.dataclass(cls)  # in place
        return cls

    return decorate


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
    known = {name: value for name, value in flat(native).items() if name not in given}
    shared = [field for field in dataclasses.fields(kind) if field.name in known]
    return kind(**{field.name: _viewed(known[field.name], field.type) for field in shared}, **given)


def _viewed(value: Any, kind: Any) -> Any:
    if isinstance(value, Periphery):
        return viewing(PresetIOParameters, value)
    if isinstance(value, Pulses):
        return viewing(PresetUpdateParameters, value)
    return list(value) if isinstance(value, tuple) else as_written(value, kind)
