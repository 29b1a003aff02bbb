"""What aihwkit shows of the crosspoints: their constants and hidden weights, in its order and by its names."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp

from analogjax._typing import Array
from analogjax.physics.compounds import DynamicTransfer, MixedPrecision
from analogjax.physics.compounds.unit_cell import UnitCell, part_of
from analogjax.physics.device import Cells, State

# constants of every pulsed device, and their values where nothing is drawn: a device that never rests has no rates
_ALWAYS = {
    "max_bound": 0.0, "min_bound": 0.0, "dwmin_up": 0.0, "dwmin_down": 0.0, "decay_scales": 1.0, "diffusion_rates": 0.0,
    "reset_bias": 0.0, "drift_nu": 0.0,
}  # fmt: skip
_OWN = ("slope_up", "slope_down", "gamma_up", "gamma_down", "reference")
_DIGITAL = ("running_mean_weight", "past_mean_weight", "hidden_weights_chi")


def hidden_parameters(device: Any, cells: Cells, state: State) -> Iterator[tuple[str, Array]]:
    """Names and arrays; those of device `k` of a unit cell carry the suffix `_k`."""
    if isinstance(device, MixedPrecision):
        yield from hidden_parameters(device.device, cells, state.parts[0])
        yield from _remembered(device, state)
    elif isinstance(device, UnitCell):
        for k, (part, held) in enumerate(zip(device.parts, state.parts, strict=True)):
            for name, value in hidden_parameters(part, part_of(cells, k), held):
                yield f"{name}_{k}", value
            yield f"hidden_weights_{k}", held.w
        yield from _remembered(device, state)
    elif "max_bound" in cells:
        for name, otherwise in _ALWAYS.items():
            yield name, cells[name] if name in cells else jnp.full_like(cells["max_bound"], otherwise)
        if state.persistent is not None:
            yield "persistent_weights", state.persistent
        yield from ((name, cells[name]) for name in _OWN if name in cells)


def _remembered(device: Any, state: State) -> Iterator[tuple[str, Array]]:
    """The digital buffers of a compound."""
    memory = state.memory or {}
    for name in (*(f"buffered_FP_weight_{k}" for k in range(len(state.parts))), *_DIGITAL):
        if name in memory:
            # aihwkit numbers the buffers, except here
            yield name.removesuffix("_0") if isinstance(device, DynamicTransfer) else name, memory[name]
