"""Residual learning on several arrays: its schedule, its warm start, and what it is for."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import Periphery, Pulses, devices
from analogjax.physics.compounds import WarmStart, next_array, residual, tiki_taka
from analogjax.physics.compounds.parts.fields import changed
from analogjax.tile import Signal, TileConfig, create, update
from tests.tolerance import assert_same_bits

EXACT = {"dw_min_std": 0.0, "dw_min_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0, "up_down_dtod": 0.0}
QUIET = devices.SoftBounds(dw_min=0.001, **EXACT)
READ = {"transfer_forward": Periphery(is_perfect=True), "units_in_mbatch": False}


def chip(cell, shape=(3, 5), key=0):
    return create(TileConfig(device=cell), shape, random.key(key), jnp.zeros(shape))


def silent(tile, key):
    return update(tile, Signal(x=jnp.zeros((1, 5)), d=jnp.zeros((1, 3))), 0.1, key=random.key(key))


def test_the_finest_array_is_first_and_the_weight_their_geometric_sum():
    cell = residual((QUIET,) * 4, gamma=0.25)
    assert cell.gammas == (0.25**3, 0.25**2, 0.25, 1.0)
    assert cell.periods((3, 5), 8) == (16, 80, 400, 0)  # 2 mini-batches of 8, then 5 times less often; the last never
    state = chip(cell).write(jnp.full((3, 5), 0.2), random.key(1)).state
    assert [float(part.w[0, 0]) for part in state.parts] == [0, 0, 0, pytest.approx(0.2)]
    parts = tuple(replace(part, w=jnp.full((3, 5), k + 1.0)) for k, part in enumerate(state.parts))
    assert float(cell.summed(replace(state, parts=parts)).w[0, 0]) == 4 + 3 / 4 + 2 / 16 + 1 / 64


def test_without_warm_start_it_is_tiki_taka_with_other_time_scales():
    device = devices.SoftBounds(dw_min=0.1)
    ours = residual((device,) * 3, gamma=0.5, transfer_every=1.0, timescale=2.0, **READ)
    theirs = tiki_taka(
        (device,) * 3, gamma_vec=(0.25, 0.5, 1.0), transfer_every_vec=(1.0, 2.0, 4.0), fast_lr=0.0,
        transfer_lr=0.1, scale_transfer_lr=False, **READ,
    )  # fmt: skip
    x, d = (jax.random.normal(random.key(n), (6, size)) for n, size in ((1, 5), (2, 3)))
    one, two = (update(chip(cell), Signal(x=x, d=d), 0.1, key=random.key(3)) for cell in (ours, theirs))
    assert_same_bits(one.state, two.state)


def moved(before, after):
    """Which arrays have changed."""
    pairs = zip(before.state.parts, after.state.parts, strict=True)
    return [k for k, (a, b) in enumerate(pairs) if np.any(np.asarray(a.w) != np.asarray(b.w))]


def loaded(cell):
    """A chip whose finest two arrays hold something to hand on."""
    tile = chip(cell)
    held = tuple(replace(part, w=jnp.full((3, 5), 0.3)) if k < 2 else part for k, part in enumerate(tile.state.parts))
    return replace(tile, state=replace(tile.state, parts=held))


WARM = residual(
    (QUIET,) * 3, transfer_every=1.0, timescale=3.0, transfer_lr=1.0, warm_start=1.0, **READ,
    transfer_update=Pulses(update_bl_management=False, update_management=False, desired_bl=31),
)  # fmt: skip


def test_a_warm_start_fills_the_coarsest_array_first():
    tile, seen = loaded(WARM), []
    for n in range(16):
        after = silent(tile, n)
        seen.append(moved(tile, after))
        tile = after
    # one sweep of five columns into each coarser array, then all: array 1 is read after every third vector
    assert seen == [[2]] * 5 + [[1]] * 5 + [[1], [1, 2], [1], [1], [1, 2], [1]]
    assert int(tile.state.warm_start.warming) == 0


def test_a_warm_start_can_be_moved_on_by_hand():
    cell = changed(WARM, warm_start=WarmStart(sweeps=math.inf))
    tile = loaded(cell)
    for n in range(7):
        after = silent(tile, n)
        assert moved(tile, after) == [2]
        tile = after
    for expected in (1, 0, 0):
        tile = replace(tile, state=next_array(tile.state))
        assert int(tile.state.warm_start.warming) == expected
    with pytest.raises(ConfigError, match="next_array: this transfer has no warm start"):
        next_array(chip(replace(cell, warm_start=None)).state)


def test_what_makes_no_sense_is_refused():
    for wrong, named in (
        ({"timescale": 0.5}, "timescale"),
        ({"warm_start": -1.0}, "sweeps"),
        ({"gamma": 0.0}, "gamma"),
    ):
        with pytest.raises(ConfigError, match=named):
            residual((QUIET,) * 3, **({"warm_start": 1.0} | wrong))
    with pytest.raises(ConfigError, match="two or more devices"):
        residual((QUIET,))


# the finest array settles before it is read, and so does each one before the next
SLOW = {"transfer_every": 10.0, "fast_lr": 0.5, "scale_fast_lr": False}


def programmed(cell, key, vectors=20_000):
    """Root mean square error of a linear layer that learns a fixed target, over the deviation of the target."""
    k_target, k_make, k_run = jax.random.split(key, 3)
    target = jnp.clip(0.3 * jax.random.normal(k_target, (8, 8)), -0.6, 0.6)
    config = TileConfig(device=cell, forward=Periphery(is_perfect=True), update=Pulses(desired_bl=5))
    tile = create(config, (8, 8), k_make, jnp.zeros((8, 8)))

    def step(n, tile):
        k_x, k_update = jax.random.split(jax.random.fold_in(k_run, n))
        x = jax.random.uniform(k_x, (1, 8), minval=-1, maxval=1)
        return update(tile, Signal(x=x, d=x @ (tile.read() - target).T), 0.05, key=k_update)

    tile = jax.lax.fori_loop(0, vectors, step, tile)
    return jnp.sqrt(jnp.mean((tile.read() - target) ** 2)) / jnp.std(target)


@pytest.mark.slow
def test_more_arrays_of_four_states_come_closer_n_16():
    four = devices.SoftBounds(dw_min=0.5, w_max=1.0, w_min=-1.0)
    keys, errors = jax.random.split(random.key(0), 16), {}
    for n in (1, 2, 4, 6):
        cell = four if n == 1 else residual((four,) * n, **SLOW, **READ)
        errors[n] = np.asarray(jax.jit(jax.vmap(lambda key, c=cell: programmed(c, key)))(keys))
    for fewer, more in ((1, 2), (2, 4), (4, 6)):
        gain = errors[fewer] - errors[more]  # of the same targets
        assert gain.mean() > 3 * gain.std(ddof=1) / 4, {n: e.mean() for n, e in errors.items()}
