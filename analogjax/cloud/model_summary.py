"""Data for the page of a trained model: the distribution of each layer's weights, and the pulse response of its
devices.

A few specimens of each kind of device are made, and pulsed up and then down over their whole range. Everything is
computed from fixed keys, so equal experiments have equal pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax import random
from analogjax._typing import Array, Key
from analogjax.cloud.configuration import config_from_json
from analogjax.cloud.description import Description
from analogjax.physics import PulsedDevice

_BINS, _SPECIMENS, _POINTS, _PULSES = 41, 3, 60, 20  # pulses between two points of a curve


def summaries(description: Description, weights: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:
    """One entry for each layer with weights: `layer`, `type`, `shape`, `histogram`, and of analog ones `response`."""
    found, responses = [], {}
    for n, ((kind, arguments), arrays) in enumerate(zip(description.layers, weights, strict=True)):
        if "weight" not in arrays:
            continue
        entry = {
            "layer": n,
            "type": kind,
            "shape": list(arrays["weight"].shape),
            "histogram": _histogram(arrays["weight"]),
        }
        if "config" in arguments:
            device = config_from_json(arguments["config"]).device
            if repr(device) not in responses:
                responses[repr(device)] = response(device)
            entry |= {"device": repr(device), "response": responses[repr(device)]}
        found.append(entry)
    return found


def _histogram(weight: np.ndarray) -> dict[str, Any]:
    counts, edges = np.histogram(weight, _BINS)
    return {"counts": counts.tolist(), "low": float(edges[0]), "high": float(edges[-1])}


def response(device: Any) -> dict[str, Any] | None:
    """Weights of a few specimens after every 20th pulse, up and then down `[specimen][point]`; `None` if not pulsed."""
    if not isinstance(device, PulsedDevice):
        return None
    k_make, k_write, k_pulse = jax.random.split(random.key(0), 3)
    cells = device.fabricate((1, _SPECIMENS), jnp.float32, k_make)
    state = device.write(cells, jnp.zeros((1, _SPECIMENS)), k_write)
    curve = np.asarray(jax.jit(lambda state, key: _pulsed(device, cells, state, key))(state, k_pulse))
    return {"pulses": _PULSES, "up": _POINTS, "curves": curve[:, 0, :].T.tolist()}


def _pulsed(device: Any, cells: Any, state: Any, key: Key) -> Array:
    sign = jnp.repeat(jnp.array([1, -1]), _POINTS)

    def point(state: Any, given: tuple[Array, Array]) -> tuple[Any, Array]:
        direction, number = given
        keys = jax.random.split(jax.random.fold_in(key, number), _PULSES)
        all_of = jnp.full(state.w.shape, direction)
        state, _ = lax.scan(lambda state, key: (device.pulse(cells, state, all_of, key), None), state, keys)
        return state, state.w

    return lax.scan(point, state, (sign, jnp.arange(2 * _POINTS)))[1]
