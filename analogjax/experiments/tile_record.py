r"""What training did to each analog layer, as plain values for the record of a run: `tiles.json`.

    weights        histogram of the logical weights after training
    moved          histogram of how far training moved them
    saturated      fraction of devices within 1 % of their range of one of its ends

`expected_pulses` computes, where the model can be run again,

    pulses         expected coincidences per sample and crosspoint, for a batch of the training data:
                   BL p_j p_i of `physics.trains`, averaged
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import nn
from analogjax._typing import Array, Key, PyTree
from analogjax.experiments.loop import Images, Program
from analogjax.experiments.losses import per_item
from analogjax.nn import Variables
from analogjax.physics import PulsedDevice
from analogjax.physics.trains import trains
from analogjax.tile import Tile, TileArray
from analogjax.tile.tile import Signal, across

FILE = "tiles.json"
_BINS, _EDGE = 41, 0.01


def weights_of(variables: Variables) -> dict[str, np.ndarray]:
    """Logical weights of each pulsed tile, by path."""
    return {path: np.asarray(tile.read(), np.float32) for path, tile in _tiles(variables).items()}


def tile_record(before: Mapping[str, np.ndarray] | None, variables: Variables) -> list[dict[str, Any]]:
    """One entry for each pulsed tile and each matrix of trained parameters.

    Args:
        before: `weights_of` its variables before training; None: not known.
        variables: Its variables after training.

    Returns:
        Plain values.
    """
    found: list[dict[str, Any]] = []
    for path, tile in _tiles(variables).items():
        weights = np.asarray(tile.read(), np.float32)
        moved = None if before is None or path not in before else _histogram(weights - before[path])
        chips = tile if isinstance(tile, Tile) else tile.tiles
        found.append({
            "layer": path, "kind": "pulsed", "shape": list(weights.shape), "device": repr(chips.config.device),
            "weights": _histogram(weights), "moved": moved, "saturated": _saturated(chips, weights.size),
        })  # fmt: skip
    for keys, leaf in jax.tree_util.tree_leaves_with_path(variables.params):
        if leaf.ndim > 1:
            where, values = _name(keys), np.asarray(leaf, np.float32)
            found.append(
                {"layer": where, "kind": "parameters", "shape": list(leaf.shape), "weights": _histogram(values)}
            )
    return found


def _tiles(variables: Variables) -> dict[str, Any]:
    flat = jax.tree_util.tree_leaves_with_path(variables.tiles, is_leaf=_is_tile)
    return {_name(path): tile for path, tile in flat if _is_tile(tile)}


def _is_tile(node: object) -> bool:
    return isinstance(node, (Tile, TileArray))


def _name(path: Any) -> str:
    return "/".join(str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part)))) for part in path)


def _histogram(values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)].astype(np.float64)  # weights that differ by a rounding have bins in between
    counts, edges = np.histogram(finite, _BINS)
    spread = {"mean": float(finite.mean()), "std": float(finite.std())} if finite.size else {}
    return {"counts": counts.tolist(), "low": float(edges[0]), "high": float(edges[-1])} | spread


def _saturated(tile: Tile, devices: int) -> float | None:
    """Fraction of the devices at an end of their range; None for those that have no range of their own."""
    cells = tile.cells if isinstance(tile.cells, Mapping) else {}
    if not {"min_bound", "max_bound"} <= set(cells):
        return None
    w, low, high = (np.asarray(v, np.float32) for v in (tile.state.w, cells["min_bound"], cells["max_bound"]))
    near = _EDGE * (high - low)
    return float(np.sum((w >= high - near) | (w <= low + near)) / devices)


def expected_pulses(program: Program, variables: Variables, data: Images, key: Key) -> dict[str, float]:
    """Expected pulses per sample and crosspoint of each tile on a single chip of pulsed devices, by path.

    Args:
        program: The program of the run.
        variables: Its variables.
        data: Its training items, of which the first batch is taken.
        key: Consumed. Random is the noise of the reads.

    Returns:
        Means over samples and crosspoints; tiles of several chips and compounds are left out.
    """
    tiles = _tiles(variables)
    plain = {path: tile for path, tile in tiles.items() if isinstance(tile, Tile) and _counts(tile)}
    if not plain:
        return {}
    rate = program.learning_rate(0) if callable(program.learning_rate) else program.learning_rate
    signals = jax.jit(lambda variables, key: _signals(program, variables, data, key))(variables, key)
    flat = jax.tree_util.tree_leaves_with_path(signals, is_leaf=_is_call)
    found: dict[str, float] = {}
    for path, signal in flat:
        name = next((one for one in plain if _name(path).startswith(one)), None)
        if name is not None and isinstance(signal, Signal):
            found[name] = found.get(name, 0.0) + float(_expected(plain[name], signal, jnp.asarray(rate), key))
    return found


def _counts(tile: Tile) -> bool:
    return isinstance(tile.config.device, PulsedDevice) and not tile.stack


def _is_call(node: object) -> bool:
    return isinstance(node, Signal)


def _signals(program: Program, variables: Variables, data: Images, key: Key) -> PyTree:
    """Inputs and errors of each tile for the first batch."""
    items = min(program.batch_size, data.labels.shape[0])
    x, y = data.batch(jnp.arange(items))

    def loss(slots: PyTree) -> Array:
        outputs, _ = nn.apply_training(program.model, variables, x, key=key, slots=slots)
        return jnp.mean(per_item(program.loss_function(outputs, y), jnp.ones(items), "loss_function"))

    return jax.grad(loss)(nn.slots(program.model, variables, x))


@jax.jit
def _expected(tile: Tile, signal: Signal, lr: Array, key: Key) -> Array:
    """Mean over samples and crosspoints of the expected coincidences."""
    x, d = (v.reshape(-1, v.shape[-1]).astype(jnp.float32) for v in signal)
    device: Any = tile.config.device
    rate = tile.config.mapping.rate_scale(tile.scale)
    d = d / across(tile.scale * rate, d)
    t = trains(tile.config.update, x, d, lr * rate, device.dw_min, key)
    lines = (jnp.mean(jnp.minimum(p, 1.0), -1) for p in (t.p_x, t.p_d))
    each = t.length
    for line in lines:
        each = each * line
    return jnp.mean(each)
