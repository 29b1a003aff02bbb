"""Parts of transfers: what a write is counted by; and what would have no effect, or makes no sense, is refused."""

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import ADC, Crossbar, Periphery, Pulses, devices
from analogjax.physics.compounds import (
    MixedPrecision,
    OneSided,
    RunningMean,
    Schedule,
    StepBuffer,
    Transfer,
    Vector,
    WarmStart,
    WeightBuffer,
    agad,
    c_ttv2,
    e_rider,
    residual,
    tiki_taka,
)
from analogjax.tile import Signal, TileConfig, create, update

SOFT = devices.SoftBounds(dw_min=0.02)
TWO = (SOFT, SOFT)
EXACT = {"dw_min_std": 0.0, "dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
RATE = 0.5


def step(dw_min):
    return devices.ConstantStep(dw_min=dw_min, **EXACT)


def after_silence(cell, vectors, shape=(3, 5), w=0.3, dtype=jnp.float32):
    """The state of a chip whose first array holds `w`, after so many vectors of zeros."""
    tile = create(TileConfig(device=cell), shape, random.key(0), jnp.zeros(shape), dtype)
    first, *others = tile.state.parts
    held = replace(tile.state, parts=(replace(first, w=jnp.full(shape, w, dtype)), *others))
    silence = Signal(x=jnp.zeros((vectors, shape[1]), dtype), d=jnp.zeros((vectors, shape[0]), dtype))
    return update(replace(tile, state=held), silence, RATE, key=random.key(1)).state


# what a write is counted by


@pytest.mark.parametrize(
    ("given", "reads"),
    [
        ({"transfer_every": 4.0}, 1),
        ({"transfer_every": 4.0, "transfer_every_vec": (2.0, 0.0)}, 2),
        ({"transfer_every": 4.0, "transfer_every_vec": (1.0, 0.0), "units_in_mbatch": True}, 1),
    ],
    ids=["vectors", "vec", "batches"],
)
def test_auto_granularity_counts_lines_times_transfer_every_whatever_else_is_said(given, reads):
    """As aihwkit does: a pass of 5 lines, one after every 4 vectors, is 20 vectors."""
    chopped = {"in_chop_prob": 0.0, "auto_granularity": 1000.0, "transfer_forward": Periphery(is_perfect=True)}
    buffer = np.asarray(after_silence(c_ttv2((step(0.01), step(0.01)), **chopped, **given), 4).buffers[0])
    np.testing.assert_allclose(buffer[:, :reads], 0.3 * RATE / (0.01 * 1000 / 20), rtol=1e-5)
    assert not np.any(buffer[:, reads:])


@pytest.mark.parametrize("buffer", [WeightBuffer(), StepBuffer()], ids=["weight", "step"])
def test_a_warm_start_counts_by_the_array_that_is_read_and_the_one_that_is_written(buffer):
    """From the first of three unequal arrays straight to the last, whose buffer it fills."""
    cell = residual(
        (step(0.5), step(0.01), step(0.25)), gamma=0.5, warm_start=1.0, buffer=buffer, transfer_every=1.0,
        units_in_mbatch=False, transfer_lr_vec=(0.2, 7.0, 7.0), transfer_forward=Periphery(is_perfect=True),
    )  # fmt: skip
    state = after_silence(cell, 1)
    moved = 0.3 * 0.2 * 0.25  # v, its rate, and gamma_0 / gamma_2
    expected = moved if isinstance(buffer, WeightBuffer) else moved / 0.5
    np.testing.assert_allclose(state.buffers[1][:, 0], expected, rtol=1e-5)
    assert not np.any(state.buffers[0]) and not np.any(state.buffers[1][:, 1:])


def test_digital_sums_of_a_chip_in_bfloat16_lose_no_small_addends():
    coarse = c_ttv2((step(0.25), step(0.25)), in_chop_prob=0.0, auto_granularity=1000.0,
                    transfer_forward=Periphery(is_perfect=True))  # fmt: skip
    state = after_silence(coarse, 600, (1, 1), 0.5, jnp.bfloat16)
    # each read is a thousandth of a step, which eight bits would drop beside a half
    np.testing.assert_allclose(state.buffers[0], 600 * 0.5 * RATE / 250, rtol=1e-4)
    assert {part.w.dtype for part in state.parts} | {state.w.dtype} == {jnp.dtype("bfloat16")}
    one, mixed = jnp.ones((1, 1), jnp.bfloat16), MixedPrecision(device=step(0.25), granularity_override=10.0)
    tile = create(TileConfig(device=mixed), (1, 1), random.key(0), jnp.zeros((1, 1)), jnp.bfloat16)
    for rate in (1.0, 0.001):
        tile = update(tile, Signal(x=one, d=one), rate, key=random.key(1))
    np.testing.assert_allclose(tile.state.chi, 1.001, rtol=1e-6)


def test_what_is_due_later_than_can_be_counted_is_never_due():
    many = residual((SOFT,) * 500, timescale=5.0)
    assert many.periods((4, 5), 2)[:3] == (4, 20, 100) and set(many.periods((4, 5), 2)[14:]) == {0}
    assert tiki_taka(TWO, transfer_every=2.0**31 - 1).periods((4, 5), 8) == (0, 0)


def test_a_list_counts_as_a_tuple():
    for ours, theirs in (
        (Transfer(devices=[SOFT, SOFT]), Transfer(devices=TWO)),
        (Vector(devices=[SOFT, SOFT], gamma_vec=[0.5, 1]), Vector(devices=TWO, gamma_vec=(0.5, 1))),
        (tiki_taka([SOFT, SOFT], gamma_vec=[0.5, 1.0]), tiki_taka(TWO, gamma_vec=(0.5, 1.0))),
        (tiki_taka(TWO, transfer_every_vec=[2, 0]), tiki_taka(TWO, transfer_every_vec=(2, 0))),
    ):
        assert ours == theirs and hash(ours) == hash(theirs)


def test_a_warm_start_is_given_by_its_sweeps_or_whole():
    assert residual(TWO, warm_start=2.0) == residual(TWO, warm_start=WarmStart(sweeps=2.0))
    assert residual(TWO) == residual(TWO, warm_start=None) == residual(TWO, warm_start=0)


# what is refused

SWEPT = devices.SoftBounds(w_max=jnp.float32(1))
NO_PULSES = Pulses(pulse_type="None")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        # without effect
        (lambda: agad(TWO, buffer=None, experimental_correct_accumulation=True), "corrects a StepBuffer"),
        (lambda: agad(TWO, buffer=WeightBuffer(), experimental_correct_accumulation=True), "corrects a StepBuffer"),
        (lambda: tiki_taka(TWO, fast_lr=0, auto_scale=True), "auto_scale=True.*give fast_lr above 0"),
        (lambda: residual(TWO, auto_scale=True), "auto_scale=True.*give fast_lr above 0"),
        (lambda: agad(TWO, in_weight=True), "in_weight=True.*gamma other than 0"),
        (lambda: e_rider(TWO, gamma=0.0), "in_weight=True.*gamma other than 0"),
        (lambda: agad(TWO, buffer_cap=1.0), "buffer_cap=1.0.*forget_buffer=False"),
        (lambda: Crossbar(w_noise=0.1), r"Crossbar\(w_noise=0.1\): needs a w_noise_type"),
        (lambda: residual(TWO, transfer_every_vec=(1.0, 0.0)), "timescale=5.0.*beside transfer_every_vec"),
        (lambda: residual(TWO, transfer_every=-1, units_in_mbatch=False), "timescale=5.0.*transfer_every below 0"),
        (lambda: tiki_taka(TWO, transfer_every=-1), "units_in_mbatch=True.*give False"),
        (lambda: c_ttv2(TWO, transfer_every=-1, transfer_every_vec=(1, 0)), "transfer_every=-1.*leave out"),
        (lambda: c_ttv2(TWO, transfer_every=0, transfer_every_vec=(2, 0), auto_granularity=9.0),
         "transfer_every=0.*auto_granularity counts"),
        # of the wrong kind
        (lambda: c_ttv2(TWO, buffer_granularity=-1), "buffer_granularity=-1"),
        (lambda: c_ttv2(TWO, buffer_granularity=math.nan), "buffer_granularity=nan"),
        (lambda: c_ttv2(TWO, buffer_granularity="a"), "buffer_granularity='a'"),
        (lambda: tiki_taka(TWO, gamma=True), "gamma=True.*finite number"),
        (lambda: tiki_taka(TWO, gamma_vec=(True, 1.0)), "gamma_vec=.*finite numbers"),
        (lambda: devices.SoftBounds(dw_min=True), "dw_min=True"),
        (lambda: devices.SoftBounds(mult_noise=1), "mult_noise=1.*True or False"),
        (lambda: Pulses(desired_bl=True), "desired_bl=True.*whole number"),
        (lambda: tiki_taka(TWO, n_reads_per_transfer=True), "n_reads_per_transfer=True"),
        (lambda: tiki_taka(TWO, transfer_columns=jnp.array(False)), "transfer_columns=.*True or False"),
        (lambda: c_ttv2(TWO, in_chop_random="no"), "in_chop_random='no'.*True or False"),
        (lambda: tiki_taka(TWO, transfer_forward=ADC()), "transfer_forward=.*needs an object of class Periphery"),
        (lambda: tiki_taka(TWO, transfer_update=None), "transfer_update=None.*needs an object of class Pulses"),
        (lambda: OneSided(device=SOFT, refresh_forward=Pulses()), "refresh_forward=.*class Periphery"),
        (lambda: tiki_taka(TWO, transfer_every_vec=2.0), "transfer_every_vec=2.0.*tuple of numbers"),
        (lambda: tiki_taka(TWO, transfer_lr_vec=("x", 1.0)), "transfer_lr_vec=.*finite numbers"),
        (lambda: tiki_taka(TWO, transfer_every_vec=(jnp.float32(2), 0.0)), "give a tuple of plain numbers"),
        (lambda: tiki_taka(TWO, transfer_every=math.nan), "transfer_every=nan"),
        (lambda: tiki_taka(TWO, transfer_every="a"), "transfer_every='a'"),
        (lambda: tiki_taka(TWO, transfer_every=1e12), "transfer_every=.*later than can be counted, 2147483647"),
        (lambda: residual(TWO, timescale=True), "timescale=True.*needs a number from 1"),
        (lambda: residual(TWO, timescale=math.nan), "timescale=nan"),
        (lambda: residual(TWO, warm_start=True), "sweeps=True"),
        (lambda: residual(TWO, warm_start="x"), "sweeps='x'"),
        (lambda: WarmStart(sweeps=math.nan), "sweeps=nan"),
        # devices
        (lambda: tiki_taka(SOFT), r"tiki_taka\(SoftBounds.*needs a tuple of devices"),
        (lambda: agad(3), r"agad\(3\): needs a tuple of devices"),
        (lambda: Transfer(devices=SOFT), r"Transfer\(devices=SoftBounds.*needs a tuple of devices"),
        (lambda: MixedPrecision(device=3), "device=3.*needs a device"),
        (lambda: Vector(devices=(SOFT, 3)), r"Vector\(devices=...\): device 1, 3, is none"),
        (lambda: tiki_taka((SOFT, devices.FloatingPoint())), "device 1, FloatingPoint.*sees no pulses"),
        (lambda: tiki_taka((SOFT, Vector(devices=TWO)), transfer_update=NO_PULSES), "pulse_type.*needs pulses"),
        (lambda: tiki_taka((SOFT, tiki_taka(TWO)), transfer_update=NO_PULSES), "pulse_type.*needs pulses"),
        (lambda: c_ttv2((SWEPT, SOFT), transfer_every=-1.0), "plain numbers for w_max"),
        (lambda: c_ttv2((Vector(devices=TWO), SOFT), transfer_every=-1.0), "plain numbers for w_max"),
        (lambda: Vector(devices=TWO, gamma_vec=("a", 1)), "gamma_vec=.*finite numbers"),
        (lambda: Vector(devices=TWO, first_update_idx=True), "first_update_idx=True"),
        # the field that has to be changed
        (lambda: c_ttv2(TWO, random_selection=True), "random_selection=True.*one line at a time"),
        (lambda: c_ttv2(TWO, with_reset_prob=0.1), "with_reset_prob=0.1.*one line at a time"),
        (lambda: c_ttv2(TWO, no_self_transfer=False), "no_self_transfer=False.*give True"),
    ],
)  # fmt: skip
def test_what_would_have_no_effect_or_makes_no_sense_is_refused(make, told):
    with pytest.raises(ConfigError, match=told):
        make()


def test_what_goes_together_is_taken():
    c_ttv2(TWO, transfer_every=0.0, auto_granularity=9.0)  # never transferred
    agad(TWO, buffer_cap=1.0, forget_buffer=False)
    residual(TWO, transfer_every_vec=(1.0, 0.0), timescale=None)
    tiki_taka((SOFT, Vector(devices=TWO)))
    Schedule(transfer_every=-2.0, units_in_mbatch=False)
    Crossbar(w_noise=jnp.float32(0.1))  # may be swept
    assert RunningMean(experimental_correct_accumulation=True).experimental_correct_accumulation
