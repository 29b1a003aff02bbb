"""What aihwkit shows of the crosspoints, and lets be set: constants and hidden weights, in its order, by its names."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key
from analogjax.physics.compounds import MixedPrecision
from analogjax.physics.compounds.parts.transfer import TransferCells, TransferState
from analogjax.physics.device import AnyCells, AnyState, Cells, State

Given = Mapping[str, Array]
# constants of every pulsed device, and their values where nothing is drawn: a device that never rests has no rates
_ALWAYS = {
    "max_bound": 0.0, "min_bound": 0.0, "dwmin_up": 0.0, "dwmin_down": 0.0, "decay_scales": 1.0, "diffusion_rates": 0.0,
    "reset_bias": 0.0, "drift_nu": 0.0,
}  # fmt: skip
_MADE_BY = {
    "decay_scales": "lifetime", "diffusion_rates": "diffusion", "reset_bias": "reset or reset_dtod",
    "drift_nu": "drift",
}  # fmt: skip
_OWN = ("slope_up", "slope_down", "gamma_up", "gamma_down", "reference")
_WEIGHTS, _PERSISTENT = "hidden_weights", "persistent_weights"
_BUFFER, _MEAN, _PAST, _CHI = "buffered_FP_weight", "running_mean_weight", "past_mean_weight", "hidden_weights_chi"


def arrays_of(cells: AnyCells) -> tuple[AnyCells, ...]:
    """The constants of each device of a unit cell."""
    return cells.arrays if isinstance(cells, TransferCells) else cells


def _with_arrays(cells: AnyCells, arrays: tuple[AnyCells, ...]) -> AnyCells:
    return replace(cells, arrays=arrays) if isinstance(cells, TransferCells) else arrays


def hidden_parameters(device: Any, cells: AnyCells, state: AnyState) -> Iterator[tuple[str, Array]]:
    """Names and arrays; those of device `k` of a unit cell carry the suffix `_k`."""
    if isinstance(device, MixedPrecision):
        yield from hidden_parameters(device.device, cells, state.part)
        yield _CHI, state.chi
    elif hasattr(device, "devices"):
        for k, (part, own, held) in enumerate(zip(device.devices, arrays_of(cells), state.parts, strict=True)):
            for name, value in hidden_parameters(part, own, held):
                yield f"{name}_{k}", value
            yield f"{_WEIGHTS}_{k}", held.w
        yield from _digital(state).items()
    elif "max_bound" in cells:
        for name, otherwise in _ALWAYS.items():
            yield name, cells[name] if name in cells else jnp.full_like(cells["max_bound"], otherwise)
        if state.persistent is not None:
            yield _PERSISTENT, state.persistent
        yield from ((name, cells[name]) for name in _OWN if name in cells)


def _digital(state: AnyState) -> dict[str, Array]:
    """The digital matrices of a transfer."""
    if not isinstance(state, TransferState):
        return {}
    if state.reference is None:
        return {f"{_BUFFER}_{k}": buffer for k, buffer in enumerate(state.buffers)}
    # aihwkit numbers the buffers, except here
    return {_BUFFER: state.buffers[0], _MEAN: state.reference.mean, _PAST: state.reference.past}


def fixed_parameters(device: Any, cells: AnyCells, suffix: str = "") -> Iterator[tuple[str, float, str]]:
    """Names of those that the devices have no constants for, their only values, and how such constants are made."""
    if isinstance(device, MixedPrecision):
        yield from fixed_parameters(device.device, cells, suffix)
    elif hasattr(device, "devices"):
        for k, (part, own) in enumerate(zip(device.devices, arrays_of(cells), strict=True)):
            yield from fixed_parameters(part, own, f"_{k}{suffix}")
    elif "max_bound" in cells:
        for name in (name for name in _ALWAYS if name not in cells):
            yield f"{name}{suffix}", _ALWAYS[name], f"{_MADE_BY[name]} of {type(device).__name__}"


def with_hidden_parameters(
    device: Any, cells: AnyCells, state: AnyState, given: Given, key: Key
) -> tuple[AnyCells, AnyState]:
    """Cells and state with what `hidden_parameters` shows replaced by `given`, which has all of its names.

    Weights are held within the bounds that are given with them. A weight that is a sum is computed from its parts,
    whatever is given for it, and `fixed_parameters` stay. Random is the write noise of persistent weights that are new.
    Consumes `key`.
    """
    if isinstance(device, MixedPrecision):
        cells, part = with_hidden_parameters(device.device, cells, state.part, given, key)
        return cells, replace(state, w=part.w, part=part, chi=given[_CHI])
    if not hasattr(device, "devices"):
        return _leaf(device, cells, state, given, key)
    arrays, parts = [], []
    for k, (part, array, held) in enumerate(zip(device.devices, arrays_of(cells), state.parts, strict=True)):
        own = {name.removesuffix(f"_{k}"): value for name, value in given.items() if name.endswith(f"_{k}")}
        array, held = with_hidden_parameters(part, array, held, own, jax.random.fold_in(key, k))
        arrays.append(array)
        parts.append(held)
    return _with_arrays(cells, tuple(arrays)), device.summed(_remembering(replace(state, parts=tuple(parts)), given))


def _remembering(state: AnyState, given: Given) -> AnyState:
    if not isinstance(state, TransferState):
        return state
    if state.reference is None:
        return replace(state, buffers=tuple(given[f"{_BUFFER}_{k}"] for k in range(len(state.buffers))))
    reference = replace(state.reference, mean=given[_MEAN], past=given[_PAST])
    return replace(state, buffers=(given[_BUFFER],), reference=reference)


def _leaf(device: Any, cells: Cells, state: State, given: Given, key: Key) -> tuple[Cells, State]:
    """A device that holds a weight of its own."""
    if "max_bound" not in cells:
        return cells, state
    cells = cells | {name: given[name] for name in (*_ALWAYS, *_OWN) if name in cells}
    low, high = cells["min_bound"], cells["max_bound"]
    if state.persistent is None:
        return cells, replace(state, w=jnp.clip(given.get(_WEIGHTS, state.w), low, high))
    new = jnp.clip(given[_PERSISTENT], low, high)
    if _WEIGHTS in given:
        return cells, replace(state, persistent=new, w=given[_WEIGHTS])
    return cells, _seen(device, state, new, key)


def _seen(device: Any, state: State, new: Array, key: Key) -> State:
    """The state with other persistent weights, of which a read sees what it sees of written ones."""
    written = new != state.persistent
    if getattr(device, "apply_write_noise_on_set", True):
        return device.seen(state, new, key, written)
    return replace(state, persistent=new, w=jnp.where(written, new, state.w))
