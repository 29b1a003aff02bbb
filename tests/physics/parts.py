"""A periphery in which single stages are switched on, and one with a single field changed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from analogjax.physics import ADC, DAC, Crossbar, NoiseManagement, Periphery, ReadPolicy

_NONE: Mapping[str, Any] = {}


def off(
    dac: Mapping[str, Any] = _NONE,
    crossbar: Mapping[str, Any] = _NONE,
    adc: Mapping[str, Any] = _NONE,
    noise_management: NoiseManagement | None = None,
    bound_management: ReadPolicy | None = None,
) -> Periphery:
    """A perfect periphery with the given fields of its parts switched on."""
    return Periphery(
        dac=DAC(**({"res": 0.0, "bound": 0.0} | dict(dac))),
        crossbar=Crossbar(**crossbar),
        adc=ADC(**({"res": 0.0, "noise": 0.0, "bound": 0.0} | dict(adc))),
        noise_management=noise_management,
        bound_management=bound_management,
    )


def with_field(p: Periphery, field: str, value: Any) -> Periphery:
    """The periphery with another value in the field `part.name`."""
    part, _, name = field.partition(".")
    return replace(p, **{part: replace(getattr(p, part), **{name: value})})


def value_of(p: Periphery, field: str) -> Any:
    """The value of the field `part.name`."""
    part, _, name = field.partition(".")
    return getattr(getattr(p, part), name)
