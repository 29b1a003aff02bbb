"""Schedules of compounds: the order of vectors and transfers, however a batch is cut, and what a chip remembers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import ADC, DAC, Crossbar, Periphery, Pulses, devices
from analogjax.physics.compounds import (
    Chopper,
    MixedPrecision,
    OneSided,
    PeriodicChopper,
    Vector,
    agad,
    c_ttv2,
    e_rider,
    residual,
    rider,
    tiki_taka,
    ttv2,
)
from analogjax.physics.compounds.parts.fields import changed
from analogjax.physics.compounds.parts.lines import put, take
from analogjax.physics.compounds.parts.walk import walk
from analogjax.physics.trains import Trains
from analogjax.store import Checkpoints
from analogjax.tile import Mapping, Signal, TileConfig, create, create_array, update
from tests.tolerance import assert_mean

SOFT = devices.SoftBounds(dw_min=0.02)
PAIR = {"devices": (SOFT, SOFT), "transfer_forward": Periphery(is_perfect=True)}
CELLS = {
    "one-sided": OneSided(device=SOFT, refresh_every=2, refresh_upper_thres=0.2, refresh_lower_thres=0.05),
    "transfer": tiki_taka(**PAIR, units_in_mbatch=False, transfer_every=2),
    "buffered": ttv2(**PAIR, units_in_mbatch=False, thres_scale=0.1),
    "chopped": c_ttv2(**PAIR, out_chop_prob=0.2, auto_scale=True),
    "dynamic": agad(**PAIR, in_chop_prob=0.5),
    "mixed": MixedPrecision(device=SOFT, n_x_bins=8),
    "residual": residual(**PAIR, units_in_mbatch=False, transfer_every=1.0, warm_start=1.0),
    "rider": rider(**PAIR),
    "e-rider": e_rider(**PAIR, in_chop_prob=0.5),
}
# each is a program of its own to compile
MOSTLY_SLOW = [name if name in ("buffered", "mixed") else pytest.param(name, marks=pytest.mark.slow) for name in CELLS]
X = jax.random.uniform(random.key(1), (6, 5), minval=-1, maxval=1)
D = jax.random.uniform(random.key(2), (6, 4), minval=-1, maxval=1)


def chip(cell, key=0, **config):
    return create(TileConfig(device=cell, **config), (4, 5), random.key(key), jnp.full((4, 5), 0.1))


def trained(tile, key=3, x=X, d=D):
    return update(tile, Signal(x=x, d=d), 0.3, key=random.key(key))


def leaves(tile):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tile.state)]


# The order of things


def silent(number):
    """Trains that stand for vectors 1, 2, ...: the first probability of each is its number."""
    one = jnp.zeros((number, 1))
    return Trains(
        p_x=jnp.arange(1.0, number + 1)[:, None], p_d=one, minus_x=one > 0, minus_d=one > 0,
        length=jnp.ones((number,), jnp.int32),
    )  # fmt: skip


@pytest.mark.parametrize("number", [1, 5, 7])
@pytest.mark.parametrize("period", [0, 1, 3, 40])
@pytest.mark.parametrize("clock", [-1, 0, 4])
def test_each_act_comes_after_its_vector_and_before_the_next(number, period, clock):
    """The walk writes a diary: vectors by their sum so far, acts by the number of vectors seen."""

    def pulse(state, t, k_draw, k_noise):
        total, diary, acts = state
        return total + jnp.sum(jnp.where(t.length > 0, t.p_x[:, 0], 0.0)), diary, acts

    def act(state, seen, key):
        total, diary, acts = state
        return total, diary.at[acts].set(jnp.stack([seen.astype(jnp.float32), total])), acts + 1

    start = jnp.zeros(()), jnp.full((8, 2), -1.0), jnp.asarray(0)
    keys = random.key(0), random.key(1)
    total, diary, acts = walk(start, silent(number), period, jnp.asarray(clock), pulse, act, keys)
    counts = [clock + n for n in range(1, number + 1)]
    due = [n for n in counts if period and n % period == 0 and n > 0]
    assert float(total) == sum(range(1, number + 1)) and int(acts) == len(due)
    for (seen, so_far), n in zip(np.asarray(diary), due, strict=False):
        assert seen == n and so_far == sum(range(1, n - clock + 1))


def test_a_line_goes_back_to_where_it_was_taken_from():
    tree = {"a": jnp.arange(12.0).reshape(3, 4), "b": jnp.asarray(5)}
    piece = take(tree, jnp.asarray(2), -1)
    assert piece["a"].shape == (3, 1) and piece["b"] == 5
    back = put(tree, {"a": piece["a"] * 0 - 1, "b": piece["b"] + 1}, jnp.asarray(2), -1)
    assert back["b"] == 6 and np.all(np.asarray(back["a"])[:, 2] == -1)
    np.testing.assert_array_equal(np.delete(back["a"], 2, axis=1), np.delete(tree["a"], 2, axis=1))


def test_pulses_are_counted_in_the_mean_granularity_of_all_arrays_n_4096() -> None:
    """As aihwkit does: steps of 0.01 counted in units of (0.01 + 0.03) / 2 move half as far."""
    exact = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
    two = tuple(devices.ConstantStep(dw_min=dw_min, **exact) for dw_min in (0.01, 0.03))
    cell = tiki_taka(devices=two, transfer_every=1e6, units_in_mbatch=False)
    tile, signal = chip(cell), Signal(x=X[:1], d=D[:1])
    keys = jax.random.split(random.key(5), 4096)
    moved = jax.jit(jax.vmap(lambda key: update(tile, signal, 0.1, key=key).state.parts[0].w))(keys)
    assert_mean(moved, -0.5 * 0.1 * np.outer(D[0], X[0]))


@pytest.mark.parametrize("columns", [True, False])
def test_lines_are_transferred_in_turn_and_wrap_around(columns):
    """Without gradients a perfect read of a known array moves exactly one line each time."""
    quiet = devices.SoftBounds(dw_min=0.001, dw_min_std=0.0, dw_min_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0)
    quiet = replace(quiet, up_down_dtod=0.0)
    cell = tiki_taka(devices=(quiet, quiet), transfer_columns=columns, transfer_forward=Periphery(is_perfect=True))
    tile = chip(cell)
    fast = replace(tile.state.parts[0], w=jnp.full((4, 5), 0.1))
    tile = replace(tile, state=replace(tile.state, parts=(fast, tile.state.parts[1])))
    lines = 5 if columns else 4
    for n in range(lines + 1):
        before = np.asarray(tile.read())
        tile = trained(tile, key=n, x=jnp.zeros((1, 5)), d=jnp.zeros((1, 4)))
        moved = np.any(np.asarray(tile.read()) != before, axis=0 if columns else 1)
        assert np.flatnonzero(moved).tolist() == [n % lines]


@pytest.mark.parametrize("columns", [True, False])
def test_later_arrays_wait_until_all_their_outputs_were_written(columns):
    """An array of 4 x 5, two lines at a time: a sweep writes its 4 outputs in two reads (5 in two and a half)."""
    three = tiki_taka(devices=(SOFT,) * 3, n_reads_per_transfer=2, transfer_every=4, transfer_columns=columns)
    second = 2 * 4 if columns else 10
    assert three.periods((4, 5), 1) == (4, second, 0)
    assert changed(three, units_in_mbatch=True).periods((4, 5), 3) == (12, 3 * second, 0)
    own = changed(three, transfer_every_vec=(1, 7, 9), no_self_transfer=False, units_in_mbatch=False)
    assert own.periods((4, 5), 3) == (1, 7, 9)


def test_what_is_due_more_often_than_after_each_vector_is_due_after_each():
    often = tiki_taka((SOFT, SOFT), transfer_every=0.4, units_in_mbatch=False)
    assert often.periods((4, 5), 1) == (1, 0) and changed(often, transfer_every=0.0).periods((4, 5), 1) == (0, 0)


@pytest.mark.parametrize("columns", [True, False])
def test_more_reads_than_lines_are_each_line_once_and_said_so(columns):
    exact = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
    quiet, lines = devices.ConstantStep(dw_min=0.001, **exact), 5 if columns else 4
    moved = []
    for reads in (lines, 12):
        cell = tiki_taka(
            devices=(quiet, quiet, quiet), n_reads_per_transfer=reads, transfer_columns=columns,
            transfer_forward=Periphery(is_perfect=True),
        )  # fmt: skip
        if reads > lines:
            with pytest.warns(UserWarning, match=f"n_reads_per_transfer=12.*has {lines} "):
                tile = chip(cell)
        else:
            tile = chip(cell)
        assert cell.periods((4, 5), 1) == (1, 1 if columns else 2, 0)
        fast = replace(tile.state.parts[0], w=jnp.full((4, 5), 0.1))
        tile = replace(tile, state=replace(tile.state, parts=(fast, *tile.state.parts[1:])))
        after = trained(tile, x=jnp.zeros((1, 5)), d=jnp.zeros((1, 4)))
        moved.append(np.asarray(after.state.parts[1].w))
    np.testing.assert_array_equal(*moved)
    assert np.all(moved[0] > 0.02)


def test_regular_choppers_flip_after_every_so_many_passes():
    for chopper in (Chopper(in_chop_random=False, in_chop_prob=0.25), PeriodicChopper(in_chop_prob=0.25)):
        flips = [bool(chopper.flips(jnp.asarray(n), random.key(0))) for n in range(12)]
        assert np.flatnonzero(flips).tolist() == [3, 7, 11]  # the last of each four passes, counted from 0


def test_devices_of_a_cell_are_no_twins():
    """Devices of equal parameters differ in what is drawn: constants, written and rested values, noise of pulses."""
    noisy = replace(SOFT, write_noise_std=1.0, diffusion=0.01, reset_std=0.1)
    for cell in (Vector(devices=(noisy, noisy)), OneSided(device=noisy), tiki_taka(devices=(noisy, noisy))):
        cells = cell.fabricate((4, 5), jnp.float32, random.key(0))
        first, second = getattr(cells, "arrays", cells)
        assert not np.any(np.asarray(first["dwmin_up"] == second["dwmin_up"]))
        cells = replace(cells, arrays=(first, first)) if hasattr(cells, "arrays") else (first, first)
        state = cell.write(cells, jnp.zeros((4, 5)), random.key(1))
        lived = [
            state,
            cell.rest(cells, state, random.key(2)),
            cell.reset_cells(cells, state, jnp.ones((4, 5), bool), random.key(3)),
        ]
        if isinstance(cell, Vector):
            same = replace(state, parts=(state.parts[0],) * 2)
            lived.append(cell.update(Pulses(), cells, same, X, D, 0.3, random.key(4)))
        for after in lived:
            assert not np.array_equal(after.parts[0].w, after.parts[1].w)
            assert after is state or not np.array_equal(after.parts[0].persistent, after.parts[1].persistent)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("columns", [True, False])
def test_a_line_is_read_with_the_asymmetry_of_its_own_devices(columns, alone):
    """Lines are read with -1: what is seen is the weight times the gain of each device for negative inputs."""
    quiet = Periphery(
        dac=DAC(res=0.0, noise=0.0 if alone else 1e-12), adc=ADC(noise=0.0, res=0.0),
        crossbar=Crossbar(mv_type="PosNegSeparate", w_read_asymmetry_dtod=0.2),
    )  # fmt: skip
    cell = tiki_taka(devices=(SOFT, SOFT), transfer_forward=quiet, transfer_columns=columns)
    cells = cell.fabricate((4, 5), jnp.float32, random.key(0))
    state = cell.write(cells, jnp.zeros((4, 5)), random.key(1))
    w = jax.random.uniform(random.key(2), (4, 5))
    state = replace(state, parts=(replace(state.parts[0], w=w), state.parts[1]))
    gain = np.asarray(cells.reading["read_asymmetry"])
    assert 0.05 < gain.std() < 0.4 and abs(gain.mean() - 1) < 5 * 0.2 / np.sqrt(20)
    expected = gain * np.asarray(w)
    for line in range(5 if columns else 4):
        read = cell.reader.read(cells.reading, state.parts[0].w, jnp.asarray(line), random.key(3))
        np.testing.assert_allclose(read, expected[:, line] if columns else expected[line], rtol=1e-5)


# What all of them promise, besides the rows of `tests/contracts/test_devices.py`


@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_one_key_one_result_and_the_batch_matters_not_to_the_schedule(name):
    tile = chip(CELLS[name])
    for ours, theirs in zip(leaves(trained(tile)), leaves(trained(tile)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    cut = tile
    for n in range(0, 6, 2):
        cut = trained(cut, key=n, x=X[n : n + 2], d=D[n : n + 2])
    assert int(cut.state.clock) == int(trained(tile).state.clock)
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves(cut))
    assert any(not np.array_equal(a, b) for a, b in zip(leaves(cut), leaves(tile), strict=True))


@pytest.mark.parametrize("name", CELLS)
def test_a_checkpoint_holds_everything_that_is_remembered(name, tmp_path):
    tile = trained(chip(CELLS[name]))
    Checkpoints(tmp_path).save(1, tile, {})
    back, _ = Checkpoints(tmp_path, read_only=True).restore(chip(CELLS[name], key=9), 1)
    for ours, theirs in zip(leaves(trained(back)), leaves(trained(tile)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chopped", "mixed"])
def test_a_matrix_on_several_chips(name):
    config = TileConfig(device=CELLS[name], mapping=Mapping(max_input_size=3, max_output_size=2))
    array = create_array(config, (4, 5), random.key(0))
    assert array.grid == (2, 2)
    moved = update(array, Signal(x=X, d=D), 0.3, key=random.key(1))
    assert moved.read().shape == (4, 5) and np.all(np.isfinite(moved.read()))


@pytest.mark.parametrize("name", CELLS)
def test_written_weights_are_read_and_everything_else_is_forgotten(name):
    w = jnp.linspace(-0.1, 0.1, 20).reshape(4, 5)
    fresh = trained(chip(CELLS[name])).write(w, random.key(7))
    np.testing.assert_allclose(fresh.read(), w, atol=1e-6)
    clean = chip(CELLS[name]).write(w, random.key(7))
    for ours, theirs in zip(leaves(fresh), leaves(clean), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# What is refused


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: tiki_taka(devices=(SOFT,)), "two or more devices"),
        (lambda: tiki_taka(devices=(SOFT, SOFT), gamma_vec=(1.0,)), "gamma_vec"),
        (lambda: tiki_taka(devices=(SOFT, SOFT), gamma_vec=(1.0, 0.0)), "last array holds the written weights"),
        (lambda: tiki_taka(devices=(SOFT, SOFT), n_reads_per_transfer=0), "n_reads_per_transfer"),
        (lambda: tiki_taka(devices=(SOFT, SOFT), transfer_columns=False, with_reset_prob=0.5), "only columns"),
        (lambda: tiki_taka(devices=(devices.Ideal(), SOFT)), "sees no pulses"),
        (lambda: tiki_taka(devices=(SOFT, SOFT), gamma=jnp.asarray(0.5)), "gamma=.*plain number"),
        (lambda: ttv2(devices=(SOFT, SOFT), gamma_vec=(jnp.asarray(0.5), 1.0)), "gamma_vec=.*plain number"),
        (lambda: residual(devices=(SOFT, SOFT), gamma=jnp.asarray(0.5)), "gamma=.*plain number"),
        (lambda: residual(devices=(SOFT, SOFT), timescale=jnp.asarray(2.0)), "timescale=.*plain number"),
        (lambda: residual(devices=(SOFT, SOFT), warm_start=jnp.asarray(1.0)), "sweeps=.*plain number"),
        (lambda: changed(tiki_taka((SOFT, SOFT)), warm_start=2.0), "warm_start=2.0.*give a WarmStart"),
        (lambda: tiki_taka((SOFT, SOFT), transfer_every_vec=(-2.0, 0.0)), "transfer_every_vec.*0 or more"),
        (lambda: tiki_taka((SOFT, SOFT), transfer_lr_vec=(float("nan"), 0.0)), "transfer_lr_vec.*0 or more"),
        (lambda: tiki_taka((SOFT, SOFT), transfer_every=float("inf")), "transfer_every=inf"),
        (lambda: tiki_taka((SOFT, SOFT), gamma=float("nan")), "gamma=nan"),
        (lambda: tiki_taka((SOFT, SOFT), gamma_vec=(float("nan"), 1.0)), "gamma_vec.*finite"),
        (lambda: c_ttv2(devices=(SOFT,) * 3), "exactly two"),
        (lambda: c_ttv2(devices=(SOFT, SOFT), n_reads_per_transfer=2), "one line at a time"),
        (lambda: c_ttv2(devices=(SOFT, SOFT), in_chop_prob=1.5), "in_chop_prob"),
        (lambda: ttv2(devices=(SOFT, SOFT), thres_scale=0.0), "thres_scale"),
        (lambda: OneSided(device=devices.Ideal()), "needs a pulsed device"),
        (lambda: OneSided(device=replace(SOFT, write_noise_std=1.0), refresh_every=1), "write noise"),
        (lambda: MixedPrecision(device=SOFT, transfer_every=-1), "transfer_every"),
        (lambda: MixedPrecision(device=SOFT, n_x_bins=2.5), "n_x_bins"),
        (lambda: Vector(devices=(devices.Ideal(),)), "sees no pulses"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make, told):
    with pytest.raises(ConfigError, match=told):
        make()


@pytest.mark.parametrize("name", ["one-sided", "transfer", "chopped"])
def test_a_floating_point_update_is_refused(name):
    tile = chip(CELLS[name], update=Pulses(pulse_type="None"))
    with pytest.raises(ConfigError, match="pulse_type='None'"):
        trained(tile)
