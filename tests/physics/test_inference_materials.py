"""Materials beside PCM and the generic one: their laws, what they refuse, and writing with verification."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.errors import ConfigError
from analogjax.physics import (
    DriftTable,
    ExactReference,
    GlobalCompensation,
    Hermes,
    NPairs,
    PCMLike,
    PerColumnCompensation,
    ReRAMCMO,
    ReRAMWan2022,
    SingleDevice,
    SinglePair,
    StateIndependent,
    WriteVerify,
    optimise_programming,
)
from analogjax.physics.inference.strategy import Strategy
from tests.tolerance import assert_close, assert_mean, assert_same_bits, assert_std

QUIET = {"prog_noise_scale": 0.0, "read_noise_scale": 0.0}
TARGETS = jnp.array([1.0, -0.6, 0.3, 0.1])


def matrix(columns=20000):
    """`[4, columns]`: each row holds one target, the largest is 1."""
    return jnp.repeat(TARGETS[:, None], columns, axis=1)


def carrying(slices):
    """Of slices `[2, 4, N]` those of the devices that carry the weight, `[N, 4]`."""
    return np.where(TARGETS[:, None] > 0, slices[0], slices[1]).T


@pytest.mark.parametrize("num_devices", [1, 2])
def test_exponents_of_hermes_have_two_branches(key, num_devices):
    nu = carrying(Hermes(num_devices=num_devices, drift_scale=0.5).program(matrix(), key).memory)
    h = np.abs(TARGETS)
    mean = 0.0736 - 0.0126 * h - 0.0436 * h**2  # all targets are above 0.0945
    if num_devices == 2:
        high, low = 0.0073 + 0.0093 * h - 0.0118 * h**2, np.clip(-0.0117 * np.log(h) - 0.0057, 0.0091, 0.04)
        std = np.where(h < 0.3055, low, high)
    else:
        high, low = 0.0104 + 0.0116 * h - 0.0165 * h**2, np.clip(-0.0120 * np.log(h) - 0.0023, 0.0124, 0.04)
        std = np.where(h < 0.3039, low, high)
    slack = 0.5 * std * 2e-3  # |.| folds what lies below 0: from 3 standard deviations on less than this
    assert_mean(nu, 0.5 * mean, slack=slack)
    assert_std(nu, 0.5 * std, slack=slack)


def test_cells_of_hermes_have_ranges_and_times_of_their_own(key):
    one, two = Hermes(num_devices=1), Hermes()
    assert (one.converter.g_max, one.t_0, two.converter.g_max, two.t_0) == (10.35, 200.0, 20.7, 300.0)
    assert Hermes(t_0=50.0).t_0 == 50.0 and Hermes(g_converter=SinglePair(g_max=15.0)).converter.g_max == 15.0
    small = Hermes(g_max=10.35, **{**QUIET, "prog_noise_scale": 1.0}).program(matrix(50), key).w
    assert_close(small, Hermes().program(matrix(50), key).w, factor=4)  # noise is relative to the range


def test_wan_draws_around_the_targets_at_the_times_that_are_known(key):
    model = ReRAMWan2022(keeps_conductances=True)
    programmed = model.program(matrix(), key)
    h = np.abs(TARGETS)
    for t, c in zip(model.times, model.coefficients, strict=True):
        spread = sum(value * h**k for k, value in enumerate(c)) / 25.0
        other = c[0] / 25.0  # of the device that is reset, half of whose noise is cut
        seen = np.sign(TARGETS)[:, None] * model.drift(programmed, t, jax.random.key(int(t)))
        kept = h > 0.5  # from 4 standard deviations on nothing is cut at 0
        std = np.sqrt(spread**2 + other**2 * (0.5 - 0.5 / np.pi))
        assert_std(seen.T[:, kept], std[kept])
        assert_mean(seen.T[:, kept], h[kept] - other / np.sqrt(2 * np.pi))
    assert_same_bits(programmed.memory[0], jnp.maximum(matrix(), 0.0) * 25.0)


def test_times_that_are_not_known_are_told_or_nan(key):
    model = ReRAMWan2022()
    programmed = model.program(matrix(3), key)
    with pytest.raises(ConfigError, match=r"t=60\.0\): ReRAMWan2022 is known at 1, 86400, 172800 s only"):
        model.drift(programmed, 60.0, key)
    at = jax.jit(lambda t: model.drift(programmed, t, key))
    assert jnp.all(jnp.isnan(at(jnp.float32(60.0)))) and jnp.all(jnp.isfinite(at(jnp.float32(172800.0))))
    assert_close(at(jnp.float32(86400.0)), model.drift(programmed, 86400.0, key))


def test_cmo_relaxes_by_the_logarithm_of_time(key):
    model = ReRAMCMO(prog_noise_scale=0.0, read_noise_scale=0.0, keeps_conductances=True)
    w = matrix().at[:, 0].set(-1.0)
    programmed = model.program(w, key)
    ratio = (88.199997 - 9.0) / 2.0
    assert_close(programmed.w, w, factor=4)
    assert_close(model.drift(programmed, 0.0, key), w, factor=4)
    late = model.drift(programmed, 1e6, jax.random.key(1))[1:]  # the largest is cut at g_max
    log = np.log(1e6)
    assert_mean(late[:, 1:].T - w[1:, 1:].T, -0.08900206 * log / ratio)
    assert_std(late[:, 1:].T, np.full(3, (0.04201137 * log + 0.41183342) / ratio))
    read = ReRAMCMO(prog_noise_scale=0.0, drift_scale=0.0, keeps_conductances=True)
    seen = read.drift(programmed, 100.0, jax.random.key(2))[1:, 1:]
    g = (np.asarray(w[1:, 1]) + 1.0) * ratio + 9.0
    noise = 0.0277316483 * np.log10(g) * np.sqrt(np.log((100.0 + 1e-6) / 2e-6))
    assert_std(seen.T, noise / ratio)


@pytest.mark.parametrize(
    "model",
    [
        PCMLike(), PCMLike(g_converter=NPairs(f_lst=(1.0, 3.0))), Hermes(), Hermes(num_devices=1), ReRAMWan2022(),
        ReRAMCMO(), StateIndependent(),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_drifted_weights_have_slopes_everywhere(model):
    def seen(w):
        k_program, k_drift = jax.random.split(jax.random.key(1))
        return jnp.sum(model.drift(model.program(w, k_program), 86400.0, k_drift) ** 2)

    for w in (jnp.array([[1.0, -0.5, 0.0]]), jnp.zeros((2, 3))):
        assert jnp.all(jnp.isfinite(jax.grad(seen)(w)))


def test_a_table_of_exponents_is_interpolated(key):
    table = DriftTable(g=(0.0, 10.0, 25.0), nu_mean=(0.2, 0.1, 0.04), nu_std=(0.0, 0.01, 0.02))
    nu = carrying(PCMLike(exponents=table, drift_scale=0.5).program(matrix(), key).memory)
    g = 25.0 * np.abs(TARGETS)
    mean, std = np.interp(g, table.g, table.nu_mean), np.interp(g, table.g, table.nu_std)
    slack = 0.5 * std * 2e-2  # |.| folds what lies below 0: from 2 standard deviations on
    assert_mean(nu, 0.5 * mean, slack=slack)
    assert_std(nu, 0.5 * std, slack=slack)


def test_compensations_of_columns_and_against_exact_answers():
    y, used = jnp.array([[1.0, -3.0, 9.0], [3.0, 1.0, 9.0]]), jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    columns = PerColumnCompensation()
    assert_close(columns.readout(y, used), jnp.array([2.0, 2.0, 1e-4]))
    assert_close(
        columns.factor(columns.baseline(y, 9 * y, used), y / jnp.array([2.0, 4.0, 1.0]), used),
        jnp.array([2.0, 4.0, 1.0]),
    )
    exact = ExactReference()
    assert exact.baseline(y, 3 * y, used) == 6.0 and exact.factor(jnp.float32(6.0), y, used) == 3.0
    assert_close(ExactReference(compensation=columns).baseline(y, 2 * y, used), jnp.array([4.0, 4.0, 1e-4]))
    assert GlobalCompensation().baseline(y, 3 * y, used) == 2.0


# Writing with verification


def test_verified_devices_are_within_the_tolerance(key):
    model = WriteVerify(material=PCMLike(), tolerance=0.4, iterations=60)
    g = jnp.repeat(jnp.array([[0.0, 2.0, 12.0, 24.0]]), 500, axis=0)[None]
    written, off = jax.jit(model.verified)(g, key)
    assert not jnp.any(off) and jnp.all(jnp.abs(written - g) <= 0.4)
    assert_close(model.write(g, key), written)
    once, off = WriteVerify(material=PCMLike(), tolerance=0.4, iterations=0).verified(g, key)
    assert 0.3 < float(jnp.mean(off)) < 0.8 and jnp.any(jnp.abs(once - g) > 1.0)


def test_a_write_that_misses_on_average_is_corrected(key):
    class Misses(StateIndependent):
        def write(self, g, key):
            return super().write(g + 3.0, key)

    model = WriteVerify(material=Misses(prog_noise_scale=1.0), tolerance=0.5, iterations=4)
    g = jnp.full((1, 40, 50), 10.0)
    written, off = model.verified(g, key)
    assert not jnp.any(off)  # noise of 0.2 around the corrected value: 0.5 are 2.5 standard deviations, in one of four
    plain, _ = WriteVerify(material=Misses(), tolerance=0.5, iterations=0).verified(g, key)
    assert abs(float(plain.mean()) - 13.0) < 0.1 and abs(float(written.mean()) - 10.0) < 0.1


def test_what_the_verification_reads_wrongly_stays_wrong_n_2000(key):
    model = WriteVerify(material=StateIndependent(prog_noise_scale=0.0), tolerance=0.1, read_noise=1.0, iterations=3)
    g = jnp.full((1, 40, 50), 10.0)
    written, _ = model.verified(g, key)
    assert float(jnp.std(written)) > 0.2  # exact writes, "corrected" by what was misread


def test_verification_is_part_of_programming_and_drift_that_of_the_material(key):
    inner = PCMLike(drift_scale=0.5)
    model = WriteVerify(material=inner, tolerance=0.3, iterations=50)
    better, plain = (np.std(one.program(matrix(500), key).w - matrix(500), axis=1) for one in (model, inner))
    assert np.all(better < 0.6 * plain)
    programmed = model.program(matrix(50), key)
    assert_same_bits(model.drift(programmed, 1e5, key), inner.drift(programmed, 1e5, key))
    assert WriteVerify(material=ReRAMWan2022()).known_times == (1.0, 86400.0, 172800.0)
    many = jax.vmap(lambda tolerance: WriteVerify(material=inner, tolerance=tolerance).program(matrix(50), key).w)
    spread = np.std(many(jnp.array([0.2, 2.0])) - matrix(50), axis=(1, 2))
    assert spread[0] < 0.7 * spread[1]


# Weight programming optimisation


def weights(key):
    return jnp.clip(0.3 * jax.random.normal(key, (40, 40)), -1.0, 1.0)


def test_the_first_strategy_is_that_of_pairs_and_every_other_one_leads_back(key):
    strategy = Strategy((1.0, 3.0), 25.0, 1.0, 5, True)
    f, tables = strategy.tables(strategy.low_pair_first())
    grid = jnp.linspace(-1.0, 1.0, 9)[None]
    assert_close(tables, NPairs(f_lst=(1.0, 3.0), g_min=1.0).conductances(grid)[0][:, 0], factor=8)
    for symmetric in (True, False):
        strategy = Strategy((None, 2.0, None), 25.0, 1.0, 6, symmetric)
        f, tables = strategy.tables(jax.random.uniform(key, (strategy.size,)))
        held = jnp.einsum("k,kn->n", f, tables[::2] - tables[1::2])
        assert_close(held, jnp.linspace(held[0], -held[0], 11), factor=16)  # sums and differences of ten times as much
        assert held[0] < 0 and jnp.all((tables >= 1.0) & (tables <= 25.0)) and f[1] == 2.0
        mirrored = jnp.stack([tables[1::2, ::-1], tables[::2, ::-1]], 1).reshape(tables.shape)
        other = jnp.arange(11) != 5  # weight 0 may be held in either way
        assert bool(jnp.allclose(tables[:, other], mirrored[:, other])) == symmetric


@pytest.mark.slow
def test_tables_beat_pairs_where_drift_depends_on_the_conductance(key):
    # small conductances fade, large ones stay: devices should be kept high, and their difference hold the weight
    table = DriftTable(g=(0.0, 25.0), nu_mean=(0.2, 0.0), nu_std=(0.0, 0.0))
    model = PCMLike(exponents=table, keeps_conductances=True, prog_noise_scale=0.2)
    run = {"sample": 256, "population": 5, "generations": 30}
    found = optimise_programming(weights(key), (1.0,), model, (60.0, 1e6), jax.random.key(1), **run)
    assert found.loss < 0.5 * found.baseline
    assert found.history.shape == (30,) and np.all(np.diff(found.history) <= 0)
    assert found.converter.g_max == 25.0 and len(found.converter.g_lst) == 2
    again = optimise_programming(weights(key), (1.0,), model, (60.0, 1e6), jax.random.key(1), **run)
    assert again.converter == found.converter and again.loss == found.loss
    usable = PCMLike(g_converter=found.converter)
    assert jnp.all(jnp.isfinite(usable.drift(usable.program(weights(key), key), 60.0, jax.random.key(2))))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Hermes(num_devices=3), "num_devices=3.*1 or 2 devices"),
        (lambda: Hermes(g_max=25.0), "measured up to 20.7 uS"),
        (lambda: Hermes(num_devices=1, g_max=20.0), "measured up to 10.35 uS"),
        (lambda: ReRAMWan2022(times=()), "tuple of times"),
        (lambda: ReRAMWan2022(times=(2.0, 1.0, 3.0)), "ascending"),
        (lambda: ReRAMWan2022(times=(1.0,)), "one polynomial for each of the 1 times"),
        (lambda: ReRAMWan2022(coefficients=((1.0,), (), (1.0,))), "coefficients.*each needs a tuple of numbers"),
        (lambda: ReRAMWan2022(g_max=30.0, g_converter=SinglePair()), "give one of the two"),
        (lambda: ReRAMCMO(t_read=0.0), "t_read"),
        (lambda: ReRAMCMO(prog_coeff=()), "prog_coeff"),
        (lambda: DriftTable(g=(0.0,), nu_mean=(0.1,), nu_std=(0.0,)), "at least two"),
        (lambda: DriftTable(g=(0.0, 1.0), nu_mean=(0.1, 0.0, 0.0), nu_std=(0.0, 0.0)), "nu_mean"),
        (lambda: DriftTable(g=(2.0, 1.0), nu_mean=(0.1, 0.0), nu_std=(0.0, 0.0)), "ascending"),
        (lambda: DriftTable(g=(0.0, 1.0), nu_mean=(0.1, 0.0), nu_std=(0.0, -1.0)), "nu_std"),
        (lambda: PCMLike(exponents=DriftTable(g=(0.0, 20.0), nu_mean=(0.1, 0.0), nu_std=(0.0, 0.0))), "beyond the"),
        (lambda: WriteVerify(material=SinglePair()), "needs a Material"),
        (lambda: WriteVerify(material=PCMLike(), iterations=-1), "iterations"),
        (lambda: WriteVerify(material=PCMLike(), tolerance=-0.1), "tolerance"),
        (lambda: PerColumnCompensation(least=0.0), "least"),
        (lambda: optimise_programming(jnp.ones(9), (), PCMLike(), (1.0,), jax.random.key(0)), "significances"),
        (lambda: optimise_programming(jnp.ones(9), (1.0,), SinglePair(), (1.0,), jax.random.key(0)), "a Material"),
        (lambda: optimise_programming(jnp.ones(9), (1.0,), PCMLike(), (), jax.random.key(0)), "at least one time"),
        (lambda: optimise_programming(jnp.ones(9), (1.0,), PCMLike(), (-1.0,), jax.random.key(0)), "0 or more"),
        (lambda: optimise_programming(jnp.ones(9), (1.0,), PCMLike(), (1.0,), jax.random.key(0), sample=33), "of 32"),
        (lambda: optimise_programming(jnp.ones(1), (1.0,), PCMLike(), (1.0,), jax.random.key(0)), "the distribution"),
        *(
            (lambda w=w, f=f, t=t: optimise_programming(w, f, PCMLike(), t, jax.random.key(0)), match)
            for w, f, t, match in [
                (jnp.zeros(9), (1.0,), (1.0,), "not all 0"),
                (jnp.asarray([1.0, jnp.nan, jnp.inf]), (1.0,), (1.0,), "3 weights, 2 of them not finite"),
                (["a", "b"], (1.0,), (1.0,), "0 weights"),
                (jnp.ones(9), (float("nan"),), (1.0,), "significances"),
                (jnp.ones(9), ("2",), (1.0,), "significances"),
                (jnp.ones(9), 1.0, (1.0,), "significances=1.0 needs a tuple"),
                (jnp.ones(9), (1.0,), 60.0, "times=60.0 needs a tuple"),
            ]
        ),
    ],
)  # fmt: skip
def test_values_without_sense_are_refused(make, match):
    with pytest.raises(ConfigError, match=match):
        make()


def test_ranges_of_single_devices_are_those_of_reads(key):
    model = ReRAMCMO(g_converter=SingleDevice(g_max=20.0, g_min=2.0), drift_scale=20.0)
    g = model.read(jnp.linspace(2.0, 20.0, 2000).reshape(1, 40, 50), None, 1e8, key)
    assert jnp.min(g) == 2.0 and jnp.max(g) == 20.0
