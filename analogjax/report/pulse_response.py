"""The response of devices to pulses, as numbers for plots: response, step sizes, alternating pulses, hidden arrays.

All are pure functions of a device and a key, for `n` crosspoints of one chip. One pulse is one complete request, UP or
DOWN: a pulse of a single device; for a unit cell, one vector that requests one pulse at each crosspoint.
Letters: `T` pulses, `G` weights, `n` crosspoints. Weights in [w].
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax._typing import Array, Key
from analogjax.errors import ConfigError
from analogjax.physics import PulsedDevice, Pulses
from analogjax.physics.compounds import SINGLE_PULSES, MixedPrecision
from analogjax.physics.device import AnyCells, AnyState

Request = Callable[[AnyCells, AnyState, Array, Key], AnyState]  # cells, state, sign [], key -> state
_MOST_PULSES = 12_000
_FEWEST_PULSES = 40


class Steps(NamedTuple):
    """Step sizes of each crosspoint, without noise; NaN where its weight is out of its bounds."""

    weights: np.ndarray  # [G]
    up: np.ndarray  # [G, n]
    down: np.ndarray  # [G, n], in their own direction


class Hidden(NamedTuple):
    """A compound under requests of equal size."""

    signs: np.ndarray  # [T]
    asked: float  # the size of each request: learning rate times x times d [w]
    visible: np.ndarray  # [T, n]
    arrays: dict[str, np.ndarray]  # [T, n] of each device inside
    digital: dict[str, np.ndarray]  # [T, n] of what is kept in digital memory


def leaves(device: Any) -> tuple[Any, ...]:
    """The single devices of a device, unit cell or compound. Raises `ConfigError` if there are no pulses."""
    inside = (device.device,) if hasattr(device, "device") else getattr(device, "devices", ())
    if inside:
        return tuple(leaf for part in inside for leaf in leaves(part))
    if not isinstance(device, PulsedDevice):
        raise ConfigError(f"{type(device).__name__}: has no pulses to plot; its weights take any value at once.")
    return (device,)


def weight_range(device: Any) -> tuple[float, float]:
    """Mean bounds of the visible weight [w]; those of its first device."""
    one = getattr(leaves(device)[0], "soft_bounds", leaves(device)[0])
    high, low = float(one.w_max), float(one.w_min)
    return (-high, high) if low >= 0 else (low, high)  # a pair holds both signs


def pulses_for_range(device: Any) -> int:
    """Number of pulses from one bound to the other and somewhat beyond; 40 to 12,000."""
    low, high = weight_range(device)
    number = len(leaves(device)) if not isinstance(device, PulsedDevice) and hasattr(device, "update_policy") else 1
    return int(np.clip(1.5 * number * (high - low) / float(device.granularity), _FEWEST_PULSES, _MOST_PULSES))


def response(device: Any, n: int, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """Signs `[T]` and weights `[T + 1, n]` of fresh devices at 0: pulses up over the whole range, then down."""
    many = pulses_for_range(device)
    signs = np.repeat([1, -1], [many, many])
    return signs, _run(device, signs, 0.0, n, key)


def alternating(device: Any, n: int, key: Key) -> np.ndarray:
    """Weights `[T + 1, n]` before and after pairs of an up and a down pulse, from half of the upper bound."""
    pairs = min(2 * pulses_for_range(device), _MOST_PULSES)
    return _run(device, np.tile([1, -1], pairs), weight_range(device)[1] / 2, n, key)[::2]


def step_sizes(device: Any, n: int, key: Key, points: int = 41) -> Steps:
    """Weight change by one pulse at each weight, for `n` crosspoints without cycle-to-cycle variation."""
    calm, (low, high) = quiet(device), weight_range(device)
    grid = jnp.linspace(low, high, points)
    k_cells, k_write, k_pulse = jax.random.split(key, 3)

    @jax.jit
    def moved() -> tuple[Array, Array, Array]:
        cells, request = calm.fabricate((n, 1), grid.dtype, k_cells), _request(calm)

        def at(w: Array) -> tuple[Array, Array, Array]:
            state = calm.write(cells, jnp.full((n, 1), w), k_write)
            up, down = (request(cells, state, jnp.asarray(s), k_pulse).w - state.w for s in (1, -1))
            return state.w[:, 0], up[:, 0], -down[:, 0]

        return lax.map(at, grid)

    written, up, down = (np.asarray(one) for one in moved())
    there = np.abs(written - np.asarray(grid)[:, None]) < 1e-5 * (high - low)
    return Steps(np.asarray(grid), np.where(there, up, np.nan), np.where(there, down, np.nan))


def hidden_arrays(device: Any, p: Pulses, n: int, key: Key) -> Hidden:
    """A compound under equal requests with the pulses `p`: up, then as many down, see `request_size`."""
    lr, updates = request_size(device)
    signs = np.repeat([1, -1], updates)
    k_cells, k_write, k_update = jax.random.split(key, 3)

    @jax.jit
    def run() -> AnyState:
        cells = device.fabricate((n, 1), jnp.float32, k_cells)

        def request(state: AnyState, given: tuple[Array, Key]) -> tuple[AnyState, AnyState]:
            sign, key = given
            x, d = jnp.ones((1, 1)), -sign * jnp.ones((1, n))
            state = device.update(p, cells, state, x, d, lr, key)
            return state, state

        start = device.write(cells, jnp.zeros((n, 1)), k_write)
        keys = jax.random.split(k_update, signs.size)
        return lax.scan(request, start, (jnp.asarray(signs, jnp.float32), keys))[1]

    states = run()
    parts = states.parts if hasattr(states, "parts") else (states.part,)
    arrays = {f"array {k}": np.asarray(part.w)[..., 0] for k, part in enumerate(parts)}
    return Hidden(signs, lr, np.asarray(states.w)[..., 0], arrays, _digital(states))


def _digital(states: AnyState) -> dict[str, np.ndarray]:
    """The matrices that a compound stores in addition to its devices `[2T, n]`, by their paths in its state."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(states):
        place = jax.tree_util.keystr(path, simple=True, separator=" ")
        if place.split()[0] not in ("w", "part", "parts") and leaf.shape == states.w.shape:
            found[place] = np.asarray(leaf)[..., 0]
    return found


def request_size(device: Any) -> tuple[float, int]:
    """Size of a request [w] and number of requests that show how a compound works.

    A digital sum is given less than one step at a time. Choppers need many updates, and auto-scaling compounds large
    ones. The first array of any other compound gets ten pulses each, until it is full.
    """
    low, high = weight_range(device)
    if isinstance(device, MixedPrecision):
        asked = max(0.3 * float(device.granularity), (high - low) / 1500)
        return asked, int(np.clip(1.5 * (high - low) / asked, 100, 3000))
    if getattr(device, "chopper", None) is not None:
        return (high - low) / 10, 1500
    asked = 10 * float(device.granularity)
    return asked, int(np.clip(3 * (high - low) / asked, 100, 3000))


def quiet(device: Any) -> Any:
    """The device, and those inside it, without noise of pulses and reads; device-to-device variation stays."""
    own = {field.name for field in fields(device)}
    off: dict[str, Any] = {name: 0.0 for name in ("dw_min_std", "write_noise_std") if name in own}
    off |= {"refresh_every": 0} if "refresh_every" in own else {}
    if "devices" in own:
        off["devices"] = tuple(quiet(part) for part in device.devices)
    if "device" in own:
        off["device"] = quiet(device.device)
    return replace(device, **off)


def _request(device: Any) -> Request:
    def pulse(cells: AnyCells, state: AnyState, sign: Array, key: Key) -> AnyState:
        return device.pulse(cells, state, jnp.full(state.w.shape, sign, jnp.int8), key)

    def vector(cells: AnyCells, state: AnyState, sign: Array, key: Key) -> AnyState:
        x, d = jnp.ones((1, state.w.shape[1])), jnp.full((1, state.w.shape[0]), -1.0) * sign
        return device.update(SINGLE_PULSES, cells, state, x, d, device.granularity, key)

    return pulse if isinstance(device, PulsedDevice) else vector


def _run(device: Any, signs: np.ndarray, start: float, n: int, key: Key) -> np.ndarray:
    k_cells, k_write, k_pulses = jax.random.split(key, 3)

    @jax.jit
    def run() -> tuple[Array, Array]:
        cells, request = device.fabricate((n, 1), jnp.float32, k_cells), _request(device)

        def pulse(state: AnyState, given: tuple[Array, Key]) -> tuple[AnyState, Array]:
            state = request(cells, state, *given)
            return state, state.w[:, 0]

        state = device.write(cells, jnp.full((n, 1), start), k_write)
        keys = jax.random.split(k_pulses, signs.size)
        return state.w[:, 0], lax.scan(pulse, state, (jnp.asarray(signs), keys))[1]

    first, w = run()
    return np.concatenate([np.asarray(first)[None], np.asarray(w)])
