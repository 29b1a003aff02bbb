"""Small products, a periphery in which single stages are switched on, and one with a single field changed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from analogjax import random
from analogjax.physics import ADC, DAC, Crossbar, NoiseManagement, Periphery, ReadPolicy
from analogjax.physics.periphery import mvm

B, I, O = 3, 6, 4  # noqa: E741 - the letters of the library
run = jax.jit(mvm)
reads = jax.jit(jax.vmap(mvm, in_axes=(None, None, None, None, 0)))  # by as many keys
_NONE: Mapping[str, Any] = {}


def weights() -> jax.Array:
    """`[O, I]`"""
    return random.normal(random.key(1), (O, I)) * 0.3


def inputs() -> jax.Array:
    """`[B, I]`"""
    return random.normal(random.key(2), (B, I)) * 0.4


def exact(array: Any) -> np.ndarray:
    """In double precision."""
    return np.asarray(array, np.float64)


def product(w: Any, x: Any) -> np.ndarray:
    """`x w^T` in double precision."""
    return exact(x) @ exact(w).T


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
