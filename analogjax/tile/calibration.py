"""Zero-shifting of a tile: moves its reference to the symmetry points that alternating pulses lead to."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax

from analogjax._typing import Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics import Transfer
from analogjax.physics.calibration import calibrate as estimate
from analogjax.physics.calibration import check_pulses, shifted
from analogjax.random import check_key
from analogjax.tile.tile import Tile


@partial(jax.jit, static_argnames="alternating")
def _calibrated(tile: Tile, pulses: Scalar, key: Key, alternating: bool) -> Tile:
    k_pulses, k_write = jax.random.split(key)
    device: Any = tile.config.device
    cells: Any = tile.cells
    state: Any = tile.state
    if isinstance(device, Transfer):
        first, own = device.devices[0], cells.arrays[0]
        moved = shifted(first, own, estimate(first, pulses, own, state.parts[0], k_pulses, alternating))
        cells = replace(cells, arrays=(moved, *cells.arrays[1:]))
    else:
        cells = shifted(device, cells, estimate(device, pulses, cells, state, k_pulses, alternating))
    return replace(tile, cells=cells).write(tile.read(), k_write)


def calibrate(tile: Tile, pulses: Scalar, *, key: Key, alternating: bool = True) -> Tile:
    """Shift the symmetry points of a tile to 0, as far as the given number of pulses can find them.

    The symmetry points are found from two reads, so half of the variance of the write noise, if any, remains in the
    reference. In a transfer, the array that collects the gradient is calibrated, since only its symmetry point matters.

    Args:
        tile: One chip, whose devices are read against a reference (`SoftBoundsReference`, `PowStepReference`).
        pulses: Number of pulses at each crosspoint; an error of 1 % takes a number proportional to `1 / dw_min`.
        key: Consumed. Random are the noise of the pulses and of the writing.
        alternating: Alternate UP and DOWN pulses; otherwise draw the direction of each pulse.

    Returns:
        The tile with its reference moved and its logical weights written again.

    Raises:
        ConfigError: If it is no tile, or the devices have no pulses or no reference.

    References:
        Kim et al. 2019, arXiv:1907.10228.
    """
    if not isinstance(tile, Tile):
        raise ConfigError(
            f"calibrate: got {type(tile).__name__}; give a Tile, as from `create`. Of a model or a TileArray, "
            "calibrate the chips one by one."
        )
    check_key(key, "calibrate")
    check_pulses(pulses)  # here, where they are not traced yet
    return _calibrated(tile, pulses, key, alternating)
