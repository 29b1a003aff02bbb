"""The fast generator: statistics with fixed keys, bounds in standard errors or p-values above 1e-4, n in the names."""

import inspect
import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy import special, stats

from analogjax import random
from analogjax.errors import ShapeError
from tests.tolerance import (
    assert_chi2,
    assert_close,
    assert_count,
    assert_ks,
    assert_mean,
    assert_poisson,
    assert_z_scores,
)

N20, N22 = 2**20, 2**22
_bits = jax.jit(jax.random.bits, static_argnums=(1, 2))
_normal = jax.jit(random.normal, static_argnums=(1, 2))
_uniform = jax.jit(random.uniform, static_argnums=1)


@cache
def words(seed=0, n=N22):
    return np.asarray(_bits(random.key(seed), (n,), jnp.uint32))


@cache
def gaussians(seed=0):
    return np.asarray(_normal(random.key(seed), (N22,), jnp.float32)).astype(np.float64)


def unit(w):
    """Words as centred numbers of mean 0 and variance 1."""
    return (np.asarray(w, np.float64) + 0.5 - 2**31) / (2**32 / math.sqrt(12))


def repeats_in(w):
    """How many words are equal to an earlier one."""
    ordered = np.sort(w)
    return np.count_nonzero(ordered[1:] == ordered[:-1])


# ---- pinned values: a change here changes every result of every user ----

GOLDEN = {
    "key 0": (lambda: jax.random.key_data(random.key(0)), [613097387, 276061563]),
    "key 1": (lambda: jax.random.key_data(random.key(1)), [2308354032, 325149936]),
    "bits": (
        lambda: jax.random.bits(random.key(0), (4,), jnp.uint32),
        [4050390276, 1511691645, 2825144909, 3270112209],
    ),
    "split": (
        lambda: jax.random.key_data(jax.random.split(random.key(0), 2)).ravel(),
        [600177211, 4128512414, 2591651059, 147068591],
    ),
    "fold_in": (lambda: jax.random.key_data(jax.random.fold_in(random.key(0), 7)), [1614993997, 1099829744]),
    "bits8": (lambda: jax.random.bits(random.key(0), (4,), jnp.uint8), [241, 90, 168, 194]),
    "bits16": (lambda: jax.random.bits(random.key(0), (4,), jnp.uint16), [61804, 23066, 43108, 49897]),
}


@pytest.mark.parametrize("what", GOLDEN)
def test_words_of_seed_0_never_change(what):
    draw, expected = GOLDEN[what]
    assert np.asarray(draw()).tolist() == expected


GOLDEN_UNIFORM = [0.9430549740791321, 0.35196810960769653, 0.6577802896499634]
GOLDEN_NORMAL = [1.5809476375579834, -0.3800123631954193, 0.4064127802848816]


def test_draws_of_seed_0_never_change():
    assert np.asarray(random.uniform(random.key(0), (3,))).tolist() == GOLDEN_UNIFORM
    # the logarithm may differ by an ulp between platforms
    assert_close(random.normal(random.key(0), (3,)), GOLDEN_NORMAL)


# ---- words of one key ----


@pytest.mark.parametrize("shift", [0, 4, 12, 16, 24])
def test_bytes_are_uniform_n_4m(shift):
    assert_chi2(np.bincount((words() >> shift) & 0xFF, minlength=2**8))


@pytest.mark.parametrize("shift", [0, 8, 16])
def test_half_words_are_uniform_n_4m(shift):
    assert_chi2(np.bincount((words() >> shift) & 0xFFFF, minlength=2**16))


def test_each_bit_is_balanced_n_4m():
    ones = np.array([np.count_nonzero(words() & np.uint32(1 << k)) for k in range(32)])
    z = (ones - N22 / 2) / math.sqrt(N22 / 4)
    assert np.max(np.abs(z)) < 4
    assert_z_scores(z)


@pytest.mark.parametrize("lag", [1, 2, 3, 32, 1024])
def test_no_serial_correlation_n_4m(lag):
    u = unit(words())
    # mean of a product of independent unit variables: standard error 1 / sqrt(n)
    assert abs(np.mean(u[:-lag] * u[lag:])) * math.sqrt(N22 - lag) < 4
    # and of the lowest bit, which a weak multiplier would show first
    b = 1.0 - 2.0 * (words() & 1)
    assert abs(np.mean(b[:-lag] * b[lag:])) * math.sqrt(N22 - lag) < 4


@pytest.mark.parametrize("shift", [0, 27])
@pytest.mark.parametrize("size", [2, 3])
def test_tuples_fill_the_cube_n_4m(size, shift):
    w = (words()[: N22 // size * size] >> shift & 31).astype(np.int64).reshape(-1, size)
    assert_chi2(np.bincount(w @ 32 ** np.arange(size), minlength=32**size))


def test_equal_words_are_as_frequent_as_among_random_ones_n_16x1m():
    # a bijection of the counter would never repeat a word: n^2 / 2^33 = 128 repeats expected for each of 16 keys
    repeats = [repeats_in(words(seed, N20)) for seed in range(16)]
    assert_poisson(sum(repeats), 16 * N20**2 / 2**33)
    assert min(repeats) > 60 and max(repeats) < 200


def test_gaps_are_geometric_n_4m():
    p = 1 / 16
    gaps = np.diff(np.flatnonzero(words() < 2**28))
    last = 64
    observed = np.bincount(np.minimum(gaps, last), minlength=last + 1)[1:]
    chance = p * (1 - p) ** np.arange(last)
    chance[-1] = (1 - p) ** (last - 1)
    assert_chi2(observed, len(gaps) * chance)


def test_runs_above_and_below_the_median_n_4m():
    high = words() >= 2**31
    n1 = int(high.sum())
    n0 = N22 - n1
    runs = 1 + np.count_nonzero(high[1:] != high[:-1])
    mean = 1 + 2 * n1 * n0 / N22
    var = (mean - 1) * (mean - 2) / (N22 - 1)
    assert abs(runs - mean) < 4 * math.sqrt(var)  # Wald and Wolfowitz 1940


# ---- words of many keys ----


def _table(keys, columns):
    draw = jax.jit(jax.vmap(lambda data: jax.random.bits(jax.random.wrap_key_data(data, impl=random.FAST), (columns,))))
    return np.asarray(draw(keys))


def _seeds(n):
    return jax.random.key_data(jax.vmap(random.key)(jnp.arange(n)))


def _children(n):
    return jax.random.key_data(jax.random.split(random.key(0), n))


def _folds(n):
    return jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(random.key(0), i))(jnp.arange(n)))


def _nested(n):
    """As pulse slots and samples, or steps and tiles, derive theirs."""
    side = math.isqrt(n)
    inner = jax.vmap(jax.random.fold_in, (None, 0))
    both = jax.vmap(lambda i: inner(jax.random.fold_in(random.key(0), i), jnp.arange(side)))(jnp.arange(side))
    return jax.random.key_data(both.reshape(-1))


FAMILIES = {"seeds": _seeds, "split": _children, "fold_in": _folds, "nested fold_in": _nested}


@cache
def family(name):
    return _table(FAMILIES[name](2**16), 16)


@pytest.mark.parametrize("name", FAMILIES)
class TestKeys:
    def test_all_keys_differ_n_64k(self, name):
        data = np.asarray(FAMILIES[name](2**16)).astype(np.uint64)
        assert len(np.unique(data[:, 0] << np.uint64(32) | data[:, 1])) == 2**16

    def test_first_words_of_keys_are_uniform_n_64k(self, name):
        for column in (0, 1, 15):
            for shift in (0, 24):
                assert_chi2(np.bincount(family(name)[:, column] >> shift & 0xFF, minlength=256))

    @pytest.mark.parametrize("lag", [1, 2, 255, 256, 257])
    def test_neighbouring_keys_are_not_correlated_n_64k(self, name, lag):
        u = unit(family(name))
        z = np.mean(u[:-lag] * u[lag:], 0) * math.sqrt(len(u) - lag)  # one for each of 16 columns
        assert_z_scores(z)
        b = 1.0 - 2.0 * (family(name) & 1)
        assert_z_scores(np.mean(b[:-lag] * b[lag:], 0) * math.sqrt(len(b) - lag))

    def test_words_of_one_key_are_not_correlated_across_keys_n_64k(self, name):
        u = unit(family(name))
        corr = u.T @ u / math.sqrt(len(u))
        assert_z_scores(corr[np.triu_indices(16, 1)])

    def test_words_rarely_repeat_across_keys_n_1m(self, name):
        w = family(name).ravel()
        assert_poisson(repeats_in(w), len(w) ** 2 / 2**33)


def test_a_key_and_its_children_are_not_correlated_n_1m():
    parent = unit(words(0, N20))
    children = [jax.random.fold_in(random.key(0), 0), jax.random.split(random.key(0))[0], random.key(1)]
    z = [np.mean(parent * unit(_bits(child, (N20,), jnp.uint32))) * math.sqrt(N20) for child in children]
    assert np.max(np.abs(z)) < 4


# ---- avalanche ----


def _word(counter, k0, k1):
    a = random._mix(counter * random._WEYL + k0)
    return random._mix(a ^ k1) + a


@cache
def _inputs():
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 2**32, 2**17, np.uint32) for _ in range(3))


def test_the_word_function_of_this_file_is_that_of_the_library():
    k0, k1 = np.asarray(jax.random.key_data(random.key(0)))
    np.testing.assert_array_equal(_word(np.arange(100, dtype=np.uint32), k0[None], k1[None]), words()[:100])


@pytest.mark.parametrize("argument", [0, 1, 2], ids=["counter", "k0", "k1"])
def test_each_input_bit_flips_each_output_bit_half_the_time_n_128k(argument):
    # 0.5 +- 1 %: the standard error of one rate is 0.14 %, so the bound leaves room for a bias of 0.4 %
    inputs, worst = _inputs(), 0.0
    base = _word(*inputs)
    for bit in range(32):
        changed = list(inputs)
        changed[argument] = inputs[argument] ^ np.uint32(1 << bit)
        flipped = base ^ _word(*changed)
        rate = np.unpackbits(flipped.view(np.uint8)).reshape(-1, 32).mean(0)
        worst = max(worst, np.max(np.abs(rate - 0.5)))
    assert worst < 0.01


@pytest.mark.parametrize("derive", ["seed", "split", "fold_in"])
def test_each_bit_of_what_derives_a_key_flips_half_of_the_key_n_8k(derive):
    n = jnp.asarray(np.random.default_rng(1).integers(0, 2**31, 2**13, np.uint32))
    make = {
        "seed": lambda i: random._seed(i),
        "fold_in": lambda i: random._fold_in(jax.random.key_data(random.key(0)), i),
        "split": lambda i: jnp.stack(random._child(jax.random.key_data(random.key(0)), i, random._SPLIT)),
    }[derive]
    make = jax.jit(jax.vmap(make))
    base, z = np.asarray(make(n)), []
    for bit in range(32):
        flipped = base ^ np.asarray(make(n ^ np.uint32(1 << bit)))
        rate = np.unpackbits(np.ascontiguousarray(flipped).view(np.uint8).reshape(2**13, -1), axis=1).mean(0)
        z.append((rate - 0.5) * 2 * math.sqrt(2**13))
    assert np.max(np.abs(z)) < 5  # 2048 rates: 5 standard errors are 1 in 900


# ---- normals, uniforms, bernoulli ----


def test_uniform_is_uniform_n_1m():
    u = np.asarray(_uniform(random.key(1), (N20,)))
    assert u.dtype == np.float32 and u.min() >= 0 and u.max() < 1
    assert np.all(u * 2**24 == np.round(u * 2**24))  # on its grid
    assert_ks(u, stats.uniform.cdf)


def test_normal_passes_kolmogorov_smirnov_n_1m():
    assert_ks(gaussians()[:N20], stats.norm.cdf)


@pytest.mark.parametrize(("power", "expected", "variance"), [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)])
def test_moments_of_normal_n_4m(power, expected, variance):
    assert abs(np.mean(gaussians() ** power) - expected) < 4 * math.sqrt(variance / N22)


@pytest.mark.parametrize("limit", [3, 4])
@pytest.mark.parametrize("sign", [1, -1])
def test_tails_of_normal_n_4m(limit, sign):
    assert_count(np.count_nonzero(sign * gaussians() > limit), N22, stats.norm.sf(limit))


def test_normal_is_symmetric_n_4m():
    z = gaussians()
    assert_count(np.count_nonzero(z > 0), N22, 0.5)
    assert_ks(z[: N20 // 4], -z[N20 // 4 : N20 // 2])


def test_normals_are_not_correlated_n_4m():
    z = gaussians()
    assert_z_scores([np.mean(z[:-lag] * z[lag:]) * math.sqrt(N22 - lag) for lag in (1, 2, 3, 32, 1024)])
    e = z**2 - 1  # nor their sizes; variance 2
    assert_z_scores([np.mean(e[:-lag] * e[lag:]) / 2 * math.sqrt(N22 - lag) for lag in (1, 2, 3, 32, 1024)])


def _with_grid(monkeypatch, draw):
    """`draw` where the uniform numbers are every possible one of 2^24, in order."""
    grid = (np.arange(2**24, dtype=np.int32).astype(np.float32)) * np.float32(2**-24)
    monkeypatch.setattr(random, "uniform", lambda key, shape=(): jnp.asarray(grid))
    return np.asarray(inspect.unwrap(draw)(random.key(0), (2**24,)))  # the function itself: no trace keeps the grid


@pytest.mark.slow
def test_every_possible_normal_is_the_right_quantile(monkeypatch):
    z = _with_grid(monkeypatch, random.normal)
    np.testing.assert_array_equal(z, -z[::-1])
    assert np.all(np.diff(z) >= -1e-6) and np.isfinite(z).all()  # monotone up to an ulp
    assert abs(z[0]) < 5.42
    sample = slice(None, None, 64)
    quantile = special.ndtri((np.arange(2**24)[sample] + 0.5) / 2**24)
    # single-precision polynomials: a few ulp of the quantile
    np.testing.assert_allclose(z[sample], quantile, rtol=3e-6, atol=1e-7)
    moments = [np.mean(z.astype(np.float64) ** power) for power in (2, 4)]
    # what is cut off beyond 5.42 is 6e-8 of the probability: 2e-6 of the variance, 6e-5 of the fourth moment
    np.testing.assert_allclose(moments, [1, 3], rtol=5e-5)


@pytest.mark.parametrize("p", [0.0, 1e-9, 1e-5, 1e-3, 0.3, 1.0, 2.0])
def test_bernoulli_is_exact_to_its_grid(monkeypatch, p):
    hits = int(
        _with_grid(monkeypatch, lambda k, shape: inspect.unwrap(random.bernoulli)(k, jnp.float32(p), shape)).sum()
    )
    assert hits == min(math.ceil(float(np.float32(p)) * 2**24), 2**24)


@pytest.mark.parametrize("p", [1e-3, 1e-5])
def test_bernoulli_of_small_probability_n_16m(p):
    draw = jax.jit(lambda key: jnp.sum(random.bernoulli(key, p, (2**24,))))
    assert_count(int(draw(random.key(5))), 2**24, math.ceil(p * 2**24) / 2**24)


# ---- widths, shapes, transformations ----


@pytest.mark.parametrize("width", [8, 16])
def test_narrow_words_are_uniform_n_1m(width):
    w = np.asarray(_bits(random.key(2), (N20,), jnp.dtype(f"uint{width}")))
    assert w.dtype == np.dtype(f"uint{width}")
    assert_chi2(np.bincount(w, minlength=2**width))


def test_wide_words_are_uniform_n_256k():
    with jax.enable_x64(True):
        w = np.asarray(jax.random.bits(random.key(2), (2**18,), jnp.uint64))
        assert w.dtype == np.uint64
        for shift in (0, 24, 32, 56):
            assert_chi2(np.bincount((w >> np.uint64(shift) & np.uint64(0xFF)).astype(int), minlength=256))
        high, low = unit(w >> np.uint64(32)), unit(w & np.uint64(0xFFFFFFFF))
        assert abs(np.mean(high * low)) * math.sqrt(len(w)) < 4
        z = np.asarray(random.normal(random.key(3), (2**18,), jnp.float64))
        assert z.dtype == np.float64
        assert_ks(z, stats.norm.cdf)


def test_seeds_beyond_32_bits_differ():
    with jax.enable_x64(True):
        seeds = [1, 2**32 + 1, 2**33 + 1, -1, 2**40]
        data = {tuple(np.asarray(jax.random.key_data(random.key(seed))).tolist()) for seed in seeds}
        assert len(data) == len(seeds)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_normal_has_the_dtype_asked_for(dtype, key):
    assert random.normal(key, (3,), dtype).dtype == jnp.dtype(dtype)


def test_scalar_and_empty_shapes(key):
    assert random.uniform(key).shape == () and random.normal(key, (0, 3)).shape == (0, 3)


def test_too_many_words_are_refused(key):
    with pytest.raises(ShapeError, match="split it"):
        jax.jit(lambda k: random.uniform(k, (2**16, 2**16 + 1))).lower(key)  # before any memory is asked for


def test_jit_and_vmap_change_nothing():
    keys = jax.random.split(random.key(0), 5)
    for draw in (lambda k: random.uniform(k, (3, 7)), lambda k: jax.random.bits(k, (3, 7))):
        single = np.stack([draw(key) for key in keys])
        np.testing.assert_array_equal(single, jax.vmap(draw)(keys))
        np.testing.assert_array_equal(single, jax.jit(jax.vmap(draw))(keys))
        nested = jax.vmap(jax.vmap(draw))(keys[:4].reshape(2, 2))
        np.testing.assert_array_equal(single[:4], nested.reshape(4, 3, 7))
    children = jax.random.key_data(jax.vmap(lambda k: jax.random.split(k, 3))(keys))
    np.testing.assert_array_equal(children, np.stack([jax.random.key_data(jax.random.split(k, 3)) for k in keys]))


def test_normal_is_the_same_under_jit_to_rounding():
    eager = random.normal(random.key(4), (1000,))
    assert_close(_normal(random.key(4), (1000,), jnp.float32), eager)


def test_two_devices_draw_what_one_draws(key):
    assert len(jax.devices()) >= 2
    mesh = Mesh(np.array(jax.devices()[:2]), ("rows",))
    for rows, columns in ((8, 6), (2, 5)):
        for spec in (
            (PartitionSpec("rows"), PartitionSpec(None, "rows")) if columns % 2 == 0 else (PartitionSpec("rows"),)
        ):
            draw = lambda k: (random.uniform(k, (rows, columns)), jax.random.bits(k, (rows, columns)))  # noqa: E731, B023
            sharded = jax.jit(draw, out_shardings=NamedSharding(mesh, spec))(key)
            assert len(sharded[0].sharding.device_set) == 2
            for one, two in zip(jax.jit(draw)(key), sharded, strict=True):
                np.testing.assert_array_equal(one, two)


def test_every_draw_takes_a_threefry_key():
    key = jax.random.key(0)
    assert_ks(random.normal(key, (2**16,)), stats.norm.cdf)
    assert_ks(random.uniform(key, (2**16,)), stats.uniform.cdf)
    assert_mean(np.asarray(random.bernoulli(key, 0.3, (2**16,))).astype(float), 0.3)


def test_keys_survive_serialisation(key):
    data = np.asarray(jax.random.key_data(key))
    again = jax.random.wrap_key_data(jnp.asarray(data), impl=random.FAST)
    assert again.dtype == key.dtype
    np.testing.assert_array_equal(random.uniform(again, (9,)), random.uniform(key, (9,)))
    assert jax.random.key_impl(key) == random.FAST or str(jax.random.key_impl(key)) == "analogjax"
