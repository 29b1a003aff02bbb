"""The product in time: against the circuit stepped point by point and segment by segment, and its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random, tile
from analogjax.errors import ConfigError, ShapeError
from analogjax.physics import ADC, DAC, BoundManagement, Ideal, NoiseManagement, Periphery, SinglePair, TimedCrossbar
from analogjax.physics.periphery import mvm
from tests.physics.parts import with_field
from tests.suites import first_fast
from tests.tolerance import assert_close, assert_mean, assert_std

B, I, O = 3, 12, 5  # noqa: E741 - the letters of the library
ROWS, RES, LEVELS = 32, 1 / 62, 31  # physical inputs; 31 steps on either side of 0
N = 2048
run = jax.jit(mvm)


def timed(dac=None, adc=None, noise_management=None, bound_management=None, **circuit):
    """A periphery without converters' noise around a crossbar that is read in time."""
    return Periphery(
        dac=DAC(**({"res": RES} | (dac or {}))),
        crossbar=TimedCrossbar(**({"phys_input_size": ROWS, "segments": 4} | circuit)),
        adc=ADC(**({"noise": 0.0, "res": 0.0, "bound": 0.0} | (adc or {}))),
        noise_management=noise_management,
        bound_management=bound_management,
    )


@pytest.fixture
def w():
    return random.normal(random.key(1), (O, I)) * 0.3


@pytest.fixture
def x():
    return jnp.clip(random.normal(random.key(2), (B, I)) * 0.4, -1, 1)


def on_grid(x):
    return np.round(np.asarray(x, np.float64) * LEVELS) / LEVELS


def stepped(p, w, x, points, t_max):
    """The reference: voltages of every device at every point of time, columns collapsed one segment at a time."""
    p = p.crossbar
    w, x = np.asarray(w, np.float64), np.asarray(x, np.float64)
    before = (ROWS - w.shape[1]) // 2
    pad = ((0, 0), (before, ROWS - w.shape[1] - before))
    w, x = np.pad(w, pad), np.pad(x, pad)
    ratio = (p.g_converter.g_max - p.g_converter.g_min) / np.abs(w).max()
    plus, minus = (np.clip(sign * w * ratio, 0, None) + p.g_converter.g_min for sign in (1, -1))
    rows = ROWS // p.segments
    wire = 1e-6 * p.ir_drop * p.wire_resistance * rows
    y = np.zeros((len(x), len(w)))
    for b, o in np.ndindex(*y.shape):
        turn = slice(None, None, -1) if o % 2 else slice(None)
        g_plus, g_minus, pulse = plus[o][turn], minus[o][turn], x[b][turn]
        currents = []
        for t in np.linspace(0, t_max, points):
            high, low = pulse > t + 1e-9, pulse < -t - 1e-9
            v_plus = np.where(high, 0.6, np.where(low, 0.2, 0.4))
            g = (g_plus + g_minus).reshape(-1, rows).sum(1) + 1e-12
            v = (g_plus * v_plus + g_minus * (0.8 - v_plus)).reshape(-1, rows).sum(1) / g
            r, u = 1 / g[0], v[0]
            for s in range(1, len(g)):
                r_1, r_2 = r + wire, 1 / g[s]
                r = r_1 * r_2 / (r_1 + r_2)
                u = (u / r_1 + v[s] / r_2) * r
            currents.append((u - p.v_read) / (r + wire / 2))
        twice = [currents[0], *currents]
        charge = sum(currents) if p.integration_sum else np.trapezoid(twice)
        if p.adc_quantization:
            charge = np.trunc(charge / 100 * p.adc_frequency) * 100 / p.adc_frequency
        y[b, o] = charge
    return y / ratio / 0.2 / (1 / RES / 2)


ONE_PASS = [
    {"adc_quantization": False},
    {"adc_quantization": False, "wire_resistance": 50.0},
    {"adc_quantization": False, "segments": 1},
    {"adc_quantization": False, "segments": ROWS, "ir_drop": 30.0},
    {"adc_quantization": False, "integration_sum": True},
    {"adc_quantization": False, "time_resolution": 0.3},
    {"adc_quantization": False, "v_read": 0.41},
    {"adc_quantization": False, "g_converter": SinglePair(g_max=40.0, g_min=2.0)},
    {"adc_frequency": 60.0},
]


@pytest.mark.parametrize("changes", ONE_PASS, ids=lambda changes: "-".join(changes))
def test_one_pass_is_the_stepped_circuit(changes, w, x, key):
    p = timed(**changes)
    points = int(32 * p.crossbar.time_resolution)
    # reference in double precision; conductances of 25 uS times millions of ohms, summed over rows and time
    assert_close(run(p, w, x, {}, key), stepped(p, w, on_grid(x), points, 1.0))


def test_split_mode_reads_low_and_high_bits(w, x, key):
    p = timed(mv_type="SplitMode", split_mode_bit_shift=2, adc_frequency=300.0)
    k = np.round(on_grid(x) * LEVELS)
    low, high = np.fmod(k, 4) / LEVELS, np.sign(k) * np.floor(np.abs(k) / 4) / LEVELS
    expected = stepped(p, w, low, 4, 3 / LEVELS) + 4 * stepped(p, w, high, 8, 7 / LEVELS)
    assert_close(run(p, w, x, {}, key), expected)


def test_bit_wise_reads_each_bit(w, x, key):
    p = timed(mv_type="BitWise", adc_frequency=300.0)
    k = np.round(on_grid(x) * LEVELS)
    bits = [np.sign(k) * (np.abs(k) // 2**bit % 2) / LEVELS for bit in range(5)]
    expected = sum(2**bit * stepped(p, w, one, 2, 1 / LEVELS) for bit, one in enumerate(bits))
    assert_close(run(p, w, x, {}, key), expected)


@pytest.mark.parametrize("kind", ["OnePass", "SplitMode", "BitWise"])
def test_without_the_circuit_it_is_the_product(kind, w, x, key):
    expected = on_grid(x) @ np.asarray(w, np.float64).T
    assert_close(run(timed(ir_drop=0.0, mv_type=kind), w, x, {}, key), expected)
    swept = jax.vmap(lambda drop: mvm(timed(ir_drop=drop, mv_type=kind), w, x, {}, key))(jnp.array([0.0, 1.0]))
    assert_close(swept[0], expected)
    assert_close(swept[1], run(timed(mv_type=kind), w, x, {}, key))


SWEPT = {"crossbar.ir_drop": 2.0, "crossbar.wire_resistance": 5.0, "crossbar.v_read": 0.41}
SWEPT |= {"crossbar.adc_frequency": 3.0, "adc.noise": 0.1, "crossbar.pcm_read_noise_scale": 0.5, "dac.noise": 0.01}


@pytest.mark.parametrize("field", first_fast(SWEPT, 3))
def test_a_swept_field_of_the_circuit_means_the_same_as_a_plain_one(field, w, x, key):
    def read(value):
        p = timed(pcm_read_noise=True, adc_quantization=field == "crossbar.adc_frequency")
        return mvm(with_field(p, field, value), w, x, {}, key)

    # constants fold in double precision, tracers do not; the small offset 0.4 V - v_read is a difference
    assert_close(jax.vmap(read)(jnp.array([SWEPT[field]]))[0], read(SWEPT[field]))


def test_perfect_wires_and_voltages_make_the_product(w, x, key):
    # the sum over time counts each step of a pulse once; trapezoids count half a step more, but for full pulses
    p = timed(wire_resistance=0.0, v_read=0.4, adc_quantization=False, integration_sum=True)
    expected = on_grid(x) @ np.asarray(w, np.float64).T
    assert_close(run(p, w, x, {}, key), expected)


def test_every_pass_has_noise_of_its_own_n_2048(w, x, key):
    passes = {"OnePass": [1], "SplitMode": [1, 8], "BitWise": [1, 2, 4, 8, 16]}
    for kind, factors in passes.items():
        p = timed(mv_type=kind, adc={"noise": 0.05})
        y = jax.vmap(lambda key, p=p: mvm(p, w, x, {}, key))(jax.random.split(key, N))
        assert_mean(y, run(timed(mv_type=kind), w, x, {}, key))
        assert_std(y, np.full((B, O), 0.05 * np.sqrt(np.sum(np.square(factors)))))


def test_read_noise_of_pulses_n_2048(key):
    # one device per output and one input: the charge is that of one conductance, with its noise
    p = timed(pcm_read_noise=True, pcm_read_noise_scale=2.0, wire_resistance=0.0, v_read=0.4, adc_quantization=False,
              integration_sum=True)  # fmt: skip
    w, x = jnp.array([[0.5], [-1.0]]), jnp.full((1, 1), 10 / LEVELS)
    y = jax.vmap(lambda key: mvm(p, w, x, {}, key))(jax.random.split(key, N))
    z, g = 1.0, np.array([12.5, 25.0])  # ten steps; uS
    per_g = np.polyval([2.1926e-4, -1.87352e-3, 6.55714e-3, -1.46159e-2, 2.578764e-2], z)
    constant = np.polyval([1.11906167e-3, -9.08576764e-3, 3.07015063e-2, -6.77079241e-2, 1.17763144e-1], z)
    spread = 2.0 * (per_g * g + constant) / 25.0 * 10 / LEVELS
    assert_mean(y, np.array([[5.0, -10.0]]) / LEVELS)
    assert_std(y, spread[None])


def test_a_tile_reads_in_time_and_its_managements_work(key):
    managed = {"noise_management": NoiseManagement(), "bound_management": BoundManagement()}
    forward = timed(adc={"bound": 1.0}, adc_quantization=False, **managed)
    config = tile.TileConfig(device=Ideal(), forward=forward, backward=Periphery(is_perfect=True))
    w = 0.3 * random.normal(random.key(3), (O, I))
    chip = tile.create(config, (O, I), key, w)
    x = 5 * random.normal(random.key(4), (B, I))
    exact = np.asarray(x, np.float64) @ np.asarray(w, np.float64).T
    y = np.asarray(chip.forward(x, key)[0])
    assert np.abs(y - exact).max() < 0.2 * np.abs(exact).max() and np.abs(y).max() > 1  # larger than the ADC's range
    whole = tile.create_array(tile.TileConfig(device=Ideal(), forward=forward,
                                              mapping=tile.Mapping(max_input_size=6)), (O, I), key, w)  # fmt: skip
    parts = np.asarray(whole.forward(x, key)[0])
    assert np.abs(parts - exact).max() < 0.2 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"mv_type": "PosNegSeparate"}, r"mv_type=.*this circuit knows 'OnePass', 'SplitMode', 'BitWise'"),
        (
            {"mv_type": "SplitMode", "dac": {"res": 1 / 64}},
            r"DAC\(res=0.015625\): pulses in bits need 1 / \(2\^n - 2\)",
        ),
        ({"mv_type": "BitWise", "dac": {"res": 100}}, r"DAC\(res=100\): pulses in bits need"),
        ({"mv_type": "SplitMode", "split_mode_bit_shift": 6}, r"split_mode_bit_shift=6\): needs a whole number from 1"),
        ({"dac": {"res": 0.0}}, r"DAC\(res=0.0\): pulses are counted"),
        ({"dac": {"res": jnp.float32(0.1)}}, r"DAC\(res=.*needs a plain number above 0"),
        ({"segments": 5}, r"segments=5\): must divide phys_input_size=32"),
        ({"segments": 2.0}, r"segments=2.0\): needs a whole number above 0"),
        ({"phys_input_size": 0}, r"phys_input_size=0\): needs a whole number above 0"),
        (
            {"time_resolution": 0.0},
            r"time_resolution=0.0\): needs a plain",
        ),
        ({"wire_resistance": -1.0}, r"wire_resistance=-1.0\): needs a finite number, at least 0"),
        ({"adc_frequency": 0.0}, r"adc_frequency=0.0\): .*adc_quantization=False switches it off"),
    ],
)
def test_nonsense_about_pulses_is_refused(bad, named):
    with pytest.raises(ConfigError, match=named):
        timed(**bad)


def test_too_many_inputs_are_refused(key):
    with pytest.raises(ShapeError, match="40 inputs on phys_input_size=32 rows"):
        mvm(timed(), jnp.ones((2, 40)), jnp.ones((1, 40)), {}, key)
