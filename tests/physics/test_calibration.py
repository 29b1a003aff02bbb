"""Zero-shifting: how many pulses it needs, how far it can be from the symmetry point, and what a tile makes of it."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import physics, random, tile
from analogjax.errors import ConfigError
from analogjax.physics import SoftBounds, SoftBoundsReference, agad, calibrate
from analogjax.physics.devices.soft_bounds_reference import symmetry_point
from benchmarks.calibration import pulses_needed

DW_MIN = 0.004
DEVICE = SoftBounds(dw_min=DW_MIN, dw_min_std=0.0, up_down=0.3)


def test_the_number_of_pulses_for_one_percent_is_inverse_to_the_step():
    steps = (1e-3, 3e-4, 1e-4)
    numbers = [int(pulses_needed(jnp.float32(step), random.key(0))) for step in steps]
    assert np.polyfit(np.log(steps), np.log(numbers), 1)[0] == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("pulses", [20, 200, 2000])
def test_the_error_of_pulses_by_chance_keeps_its_bound_n_512(pulses):
    """Theorem C.2 of arXiv:2602.21321, crosspoint by crosspoint, within 4 standard errors."""
    cells = DEVICE.fabricate((4, 8), jnp.float32, random.key(0))
    start = DEVICE.write(cells, jnp.full((4, 8), 0.5), random.key(1))
    up, down, high, low = (np.asarray(cells[n], float) for n in ("dwmin_up", "dwmin_down", "max_bound", "min_bound"))
    slope = np.minimum(up / high, down / -low) / DW_MIN
    largest = np.maximum(up * (1 - low / high), down * (1 - high / low)) / DW_MIN
    point = (up - down) / (up / high - down / low)

    @partial(jax.jit, static_argnums=1)
    def run(keys, number):
        return jax.vmap(lambda key: calibrate(DEVICE, number, cells, start, key, alternating=False))(keys)

    found = np.asarray(run(jax.random.split(random.key(2), 512), pulses), float)
    square = (found - point) ** 2
    bound = (1 - 2 * DW_MIN * slope) ** pulses * (np.asarray(start.w) - point) ** 2 + DW_MIN * largest**2 / slope
    assert np.all(square.mean(0) <= bound + 4 * square.std(0, ddof=1) / np.sqrt(512))


@pytest.mark.parametrize("compound", [False, True])
def test_a_tile_has_its_symmetry_points_at_zero_afterwards_and_its_weights_back(compound):
    device = SoftBoundsReference(dw_min=0.002, reference_mean=0.2, reference_std=0.1)
    config = tile.TileConfig(device=agad((device, device)) if compound else device)
    w = jnp.linspace(-0.1, 0.1, 64).reshape(8, 8)
    chip = tile.create(config, (8, 8), random.key(0), w)
    after = tile.calibrate(chip, 4000, key=random.key(1))

    def offset(chip):
        cells = chip.cells.arrays[0] if compound else chip.cells
        return np.asarray(symmetry_point(cells) - cells["reference"])

    # the noise of a device at its symmetry point, sqrt(dw_min w_max) c / 2 and more with spreads, is 0.01 to 0.02
    assert np.abs(offset(chip)).mean() > 0.15 and np.abs(offset(after)).mean() < 0.03
    np.testing.assert_allclose(after.read(), w, atol=1e-6)


def test_what_has_no_pulses_or_no_reference_is_refused():
    ideal = physics.Ideal()
    with pytest.raises(ConfigError, match=r"calibrate\(Ideal\): has no single pulses"):
        calibrate(ideal, 10, {}, ideal.write({}, jnp.zeros((2, 2)), random.key(0)), random.key(1))
    plain = tile.create(tile.TileConfig(device=DEVICE), (3, 4), random.key(0))
    for wrong in (0, -5, 1.9, float("nan"), None, 10**12):
        with pytest.raises(ConfigError, match=r"calibrate\(pulses=.*whole number of 1 or more"):
            tile.calibrate(plain, wrong, key=random.key(1))
    split = replace(plain.config, mapping=tile.Mapping(max_input_size=2))
    for what in (plain.config, [plain], tile.create_array(split, (3, 4), random.key(0))):
        with pytest.raises(ConfigError, match=rf"calibrate: got {type(what).__name__}; give a Tile"):
            tile.calibrate(what, 10, key=random.key(1))
    with pytest.raises(ConfigError, match="SoftBounds: is not read against a reference"):
        tile.calibrate(plain, 10, key=random.key(1))
    with pytest.raises(ConfigError, match="MixedPrecision"):
        mixed = physics.MixedPrecision(device=DEVICE)
        tile.calibrate(replace(plain, config=tile.TileConfig(device=mixed)), 10, key=random.key(1))
