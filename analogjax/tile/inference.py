r"""Tiles for inference: programmed once, then drifting.

    programmed = program(tile, noise_model, compensation, key)
    drifted    = drift(programmed, t, key)                         an ordinary tile, as it is at time t

The target of the programming are the trained weights, as the devices of the tile hold them. A drifted tile returns the
weights of the noise model through its own converters, whatever its device was. It can be read (`mvm`, `nn.apply`) but
not trained: train the original tile and program it again. Compensation multiplies the output scale of each chip, or of
each of its outputs, so `read()` of a drifted tile includes it. Time is counted from programming, in [s].
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._pytree import is_part, part_in_words, pytree
from analogjax._typing import Array, Key, PyTree, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.inference import Compensation, NoiseModel, Programmed
from analogjax.physics.inference.noise_model import check_time
from analogjax.tile.array import TileArray, each_chip, filled_padding
from analogjax.tile.stack import over_model, over_stack
from analogjax.tile.tile import Tile


@pytree
class ProgrammedTile:
    """A tile right after programming, with everything needed to compute its drift.

    In a `TileArray`, the arrays have the grid as leading axes.
    """

    tile: Tile | TileArray
    """The tile, whose weights are the programmed ones, without read noise."""
    programmed: Programmed
    """Programmed weights, in units of the device, and what their devices remember."""
    noise_model: NoiseModel
    """Material that the chip is made of."""
    compensation: Compensation | None
    """Drift compensation; None: none."""
    baseline: PyTree
    """What the compensation keeps of each chip right after programming; None without one."""


def program(
    tile: Tile | TileArray, noise_model: NoiseModel, compensation: Compensation | None, key: Key
) -> ProgrammedTile:
    """Program the weights of a tile.

    Args:
        tile: A trained tile, array of tiles, or stack of them.
        noise_model: Material, with its programming noise and drift exponents.
        compensation: Drift compensation; None: the outputs fade with time.
        key: Consumed. Random are the programming noise and the drift exponents, independent for each chip, and the
            baseline readout of the compensation.

    Returns:
        The programmed tile, to be given to `drift`.

    Example:
        >>> programmed = program(tile, PCMLike(), GlobalCompensation(), k_program)
        >>> after_a_day = drift(programmed, 86400.0, k_drift)
    """
    if not isinstance(tile, (Tile, TileArray)):
        raise ConfigError(f"program: got {type(tile).__name__}; give a Tile or a TileArray (program_all takes models).")
    check_material("program", noise_model, compensation)
    return over_stack(lambda tile, key: _program(tile, noise_model, compensation, key), tile.stack, (tile,), key)


def drift(programmed: ProgrammedTile, t: Scalar, key: Key) -> Tile | TileArray:
    """Return a programmed tile as it is at a later time.

    Drift is always computed from the state right after programming, so calls do not accumulate.

    Args:
        programmed: A programmed tile.
        t: Time since programming [s].
        key: Consumed. Random are the read noise, drawn once for the returned tile, and the readout of the compensation.

    Returns:
        An ordinary tile, for reading.

    Raises:
        ConfigError: If the time is negative, or none of those that the noise model knows.
    """
    check_time(programmed.noise_model, t, "drift")
    return over_stack(lambda one, key: _drift(one, t, key), programmed.tile.stack, (programmed,), key)


def check_material(where: str, noise_model: Any, compensation: Any) -> None:
    """Raise `ConfigError` unless these are a noise model, and a compensation or None, that JAX can flatten."""
    for name, value, kind in (("noise_model", noise_model, NoiseModel), ("compensation", compensation, Compensation)):
        if not is_part(value, kind) and not (value is None and name == "compensation"):
            none = ", or None" if name == "compensation" else ""
            raise ConfigError(f"{where}({name}={value!r}): needs {part_in_words(kind)}{none}.")


def program_all(tiles: PyTree, noise_model: NoiseModel, compensation: Compensation | None, key: Key) -> PyTree:
    """Apply `program` to every tile of a model (`Variables.tiles`); tile number `n` uses `fold_in(key, n)`."""
    return over_model(
        lambda tile, key: program(tile, noise_model, compensation, key), tiles, (Tile, TileArray), key
    )  # fmt: skip


def drift_all(programmed: PyTree, t: Scalar, key: Key) -> PyTree:
    """Apply `drift` to every programmed tile of a model; tile number `n` uses `fold_in(key, n)`."""
    return over_model(lambda one, key: drift(one, t, key), programmed, ProgrammedTile, key)


@jax.jit
def _program(
    tile: Tile | TileArray, noise_model: NoiseModel, compensation: Compensation | None, key: Key
) -> ProgrammedTile:
    act = partial(_program_chip, noise_model, compensation)
    tile, programmed, baseline = each_chip(tile, act, key)
    return ProgrammedTile(
        tile=tile, programmed=programmed, noise_model=noise_model, compensation=compensation, baseline=baseline
    )


@jax.jit
def _drift(programmed: ProgrammedTile, t: Scalar, key: Key) -> Tile | TileArray:
    act = partial(_drift_chip, programmed.noise_model, programmed.compensation, t)
    return each_chip(programmed.tile, act, key, programmed.programmed, programmed.baseline)[0]


def _program_chip(
    noise_model: NoiseModel, compensation: Compensation | None, tile: Tile, used: Array, key: Key
) -> tuple[Tile, Programmed, PyTree]:
    k_write, k_read = jax.random.split(key)
    target = tile.state.w
    used = used.astype(target.dtype)
    programmed = noise_model.program(filled_padding(target, used), k_write)
    programmed = replace(programmed, w=filled_padding(programmed.w, used))
    tile = _holding(tile, programmed.w * used)
    if compensation is None:
        return tile, programmed, None
    return tile, programmed, compensation.baseline(_answers(tile, k_read), (target * used).T, used.T)


def _drift_chip(
    noise_model: NoiseModel, compensation: Compensation | None, t: Scalar, tile: Tile, used: Array,
    programmed: Programmed, baseline: PyTree, key: Key,
) -> tuple[Tile]:  # fmt: skip
    k_drift, k_read = jax.random.split(key)
    used = used.astype(tile.state.w.dtype)
    tile = _holding(tile, noise_model.drift(programmed, t, k_drift) * used)
    if compensation is None or baseline is None:
        return (tile,)
    return (replace(tile, scale=tile.scale * compensation.factor(baseline, _answers(tile, k_read), used.T)),)


def _holding(tile: Tile, w: Array) -> Tile:
    return replace(tile, state=replace(tile.state, w=w.astype(tile.state.w.dtype)))


def _answers(tile: Tile, key: Key) -> Array:
    """The chip's noisy answers `[I, O]` to the unit vectors, before the output scale."""
    bare = replace(tile, scale=jnp.ones((), tile.scale.dtype))
    return bare.forward(jnp.eye(tile.shape[1], dtype=tile.state.w.dtype), key)[0]
