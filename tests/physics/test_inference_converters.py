"""Converters between weights and conductances: what each promises, and what each refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.errors import ConfigError
from analogjax.physics import CustomPairs, Fusion, Levels, NPairs, PCMLike, SingleDevice, SinglePair, TimedCrossbar
from tests.tolerance import assert_close

# a table that splits a weight over two devices of a pair, both in use
SHARED = CustomPairs(
    f_lst=(1.0,), g_lst=((4.0, 5.0, 6.0, 13.0, 20.0), (20.0, 13.0, 6.0, 5.0, 4.0)), g_max=20.0, g_min=4.0
)
BACK = {
    "pair": SinglePair(g_max=30.0, g_min=3.0),
    "two pairs": NPairs(f_lst=(1.0, 3.0), g_max=20.0, g_min=1.0),
    "three pairs": NPairs(f_lst=(0.5, 2.0, 1.0)),
    "table": SHARED,
    "single device": SingleDevice(),
    "fusion": Fusion(g_max=20.0),
}


@pytest.mark.parametrize("shape", [(5, 7), (3, 1), (1, 4)])
@pytest.mark.parametrize("name", BACK)
def test_weights_come_back_from_their_conductances(key, name, shape):
    w = jax.random.normal(key, shape)
    converter = BACK[name]
    g, back = converter.conductances(w)
    low = getattr(converter, "g_min", 0.0)
    assert g.shape[1:] == shape and jnp.all(g >= low * (1 - 1e-6)) and jnp.all(g <= converter.g_max * (1 + 1e-6))
    assert_close(converter.weights(g, back), w, factor=8)  # an offset of up to 4 is added and taken away


@pytest.mark.parametrize("name", BACK)
def test_a_matrix_of_one_value_stays_finite(name):
    for value in (0.0, 0.5):
        w = jnp.full((2, 3), value)
        g, back = BACK[name].conductances(w)
        assert_close(BACK[name].weights(g, back), w, factor=4)


def test_the_lower_pair_is_filled_first():
    w = jnp.array([[1.0, 0.25, -0.1, -0.625]])
    g, ratio = NPairs(f_lst=(1.0, 3.0), g_max=21.0, g_min=1.0).conductances(w)
    assert_close(ratio, 80.0)
    expected = [[21, 21, 1, 1], [1, 1, 9, 21], [21, 1, 1, 1], [1, 1, 1, 11]]
    assert_close(g[:, 0], jnp.array(expected, jnp.float32))


def test_an_error_counts_by_the_significance_of_its_pair():
    converter = NPairs(f_lst=(1.0, 3.0))
    w = jnp.array([[1.0, 0.5]])
    g, ratio = converter.conductances(w)
    for slice_, factor in ((0, 1.0), (1, -1.0), (2, 3.0), (3, -3.0)):
        moved = converter.weights(g.at[slice_].add(2.0), ratio)
        assert_close(moved - w, jnp.full((1, 2), 2.0 * factor / ratio), factor=4)


def test_a_table_is_interpolated_and_pairs_are_the_table_of_corners(key):
    w = jax.random.uniform(key, (4, 6), minval=-1, maxval=1).at[0, 0].set(1.0)
    pair, table = SinglePair(), CustomPairs(f_lst=(1.0,), g_lst=((0.0, 0.0, 25.0), (25.0, 0.0, 0.0)))
    assert_close(table.conductances(w)[0], pair.conductances(w)[0])
    half = SHARED.conductances(jnp.array([[1.0, 0.25, -0.75]]))[0][:, 0]
    assert_close(half, jnp.array([[20.0, 9.5, 4.5], [4.0, 5.5, 16.5]]))


def test_tables_that_do_not_lead_back_are_refused_unless_it_is_wished():
    bent = {"f_lst": (1.0,), "g_lst": ((0.0, 0.0, 0.0, 5.0, 25.0), (25.0, 12.5, 0.0, 0.0, 0.0))}
    with pytest.raises(ConfigError, match=r"does not lead back to the weights: off by up to 0\.3 of the largest"):
        CustomPairs(**bent)
    g, back = CustomPairs(**bent, invertibility_test=False).conductances(jnp.array([[1.0, 0.5, -0.5]]))
    assert_close(g[0] - g[1], jnp.array([[25.0, 5.0, -12.5]]))
    assert back == 25.0


def test_a_single_device_maps_the_range_of_the_weights():
    w = jnp.array([[-1.0, 0.0, 3.0]])
    g, back = SingleDevice(g_max=50.0, g_min=10.0).conductances(w)
    assert_close(g, jnp.array([[[10.0, 20.0, 50.0]]]))
    assert_close(back.ratio, 10.0) and back.lowest == -1.0


def test_rows_of_fusion_have_a_unit_each_which_is_found_again():
    w = jnp.array([[0.1, -0.2, 0.05, 0.15], [3.0, -6.0, 1.5, 4.5]])
    converter = Fusion()
    g, back = converter.conductances(w)
    assert_close(g[0, 0], g[0, 1])
    assert_close(jnp.max(g, -1), jnp.full((1, 2), 40.0))
    faded = g * jnp.array([0.5, 0.8])[:, None]
    assert_close(converter.weights(faded, back), w, factor=4)  # of a fit, in which nothing else has changed
    # the line of least squares has an offset: one slope of four points by hand
    noisy = g.at[0, 0].add(jnp.array([1.0, 0.0, -1.0, 0.5]))
    x = np.asarray(noisy[0, 0] * jnp.sign(w[0]), np.float64)
    slope = np.polyfit(x, np.asarray(w[0], np.float64), 1)[0]
    assert_close(converter.weights(noisy, back)[0], x * slope, factor=16)  # variances are differences of squares


def test_levels_are_the_nearest_ones_and_drift_starts_from_what_was_programmed(key):
    levels = (0.0, 5.0, 10.0, 25.0)
    converter = Levels(levels=levels, converter=SinglePair(g_max=25.0))
    w = jnp.array([[1.0, 0.09, 0.11, -0.29, 0.72, 0.68]])
    g, back = converter.conductances(w)
    assert_close(g[:, 0], jnp.array([[25.0, 0, 5, 0, 25, 10], [0, 0, 0, 5, 0, 0]]))
    assert_close(converter.weights(g, back), jnp.array([[1.0, 0, 0.2, -0.2, 1.0, 0.4]]))
    quiet = {"read_noise_scale": 0.0, "drift_scale": 0.0}
    model = PCMLike(g_converter=converter, prog_noise_scale=0.5, **quiet)
    programmed = model.program(w, key)
    off = jnp.abs(programmed.w[:, :, None] * 25.0 - jnp.array([*levels, *(-one for one in levels)])).min(-1)
    assert jnp.all(off > 1e-4)  # noise has moved each from its level,
    assert_close(model.drift(programmed, 1e4, key), programmed.w)  # where drift leaves it
    swept = jax.vmap(lambda levels: Levels(levels=levels).conductances(w)[0])(jnp.array([levels, levels]))
    assert_close(swept[1], g)


def test_what_is_common_to_a_pair_is_kept_if_it_is_wished():
    quiet = {"prog_noise_scale": 0.0, "read_noise_scale": 0.0, "g_converter": SHARED}
    w = jnp.array([[1.0, -0.5, 0.2]])
    for keeps in (False, True):
        model = PCMLike(**quiet, keeps_conductances=keeps)
        programmed = model.program(w, jax.random.key(0))
        assert_close(programmed.w, w)
        assert (programmed.kept is not None) == keeps
    doubled = programmed.kept[0] + jnp.array([[[0.0, 2.0, 0.0]]])  # the same weights, held by other conductances
    moved = model.drift(
        type(programmed)(w=w, memory=programmed.memory, kept=(doubled, programmed.kept[1])), 0.0, jax.random.key(1)
    )
    assert_close(moved, w, factor=4)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: NPairs(f_lst=()), "one for each pair"),
        (lambda: NPairs(f_lst=(1.0, -3.0)), "f_lst"),
        (lambda: NPairs(f_lst=(1.0, 0.0)), "significance 0 holds nothing"),
        (lambda: NPairs(f_lst=3.0), "f_lst=3.0"),
        (lambda: NPairs(f_lst=(1.0,), g_min=30.0), "more than g_min"),
        (lambda: CustomPairs(f_lst=(1.0,), g_lst=((0.0, 1.0),)), "two tables for each of the 1 numbers"),
        (lambda: CustomPairs(f_lst=(1.0,), g_lst=((0.0, 1.0), (1.0,))), "one length, 2 or more"),
        (lambda: CustomPairs(f_lst=(1.0,), g_lst=((0.0, -1.0), (1.0, 0.0))), "finite conductances of 0 or more"),
        (lambda: CustomPairs(f_lst=(1.0,), g_lst=3.0), "tuple of tables"),
        (lambda: CustomPairs(f_lst=(), g_lst=()), "a number for each pair"),
        (lambda: SingleDevice(g_max=5.0), "more than g_min=9.0"),
        (lambda: Fusion(g_max=50.0), "at most 40"),
        (lambda: Levels(levels=()), "a tuple of conductances"),
        (lambda: Levels(levels=(0.0, 5.0, 5.0)), "ascending order, each once"),
        (lambda: Levels(levels=(-1.0, 5.0)), "levels"),
        (lambda: TimedCrossbar(g_converter=SingleDevice()), "made of pairs that hold any weight"),
        (lambda: TimedCrossbar(g_converter=Fusion()), "made of pairs that hold any weight"),
        (lambda: TimedCrossbar(g_converter=Levels(levels=(0.0, 25.0))), "made of pairs that hold any weight"),
        (lambda: TimedCrossbar(g_converter=25.0), "made of pairs that hold any weight"),
    ],
)
def test_values_without_sense_are_refused(make, match):
    with pytest.raises(ConfigError, match=match):
        make()


def test_a_circuit_in_time_takes_several_pairs():
    assert TimedCrossbar(g_converter=NPairs(f_lst=(1.0, 3.0))).g_converter.f_lst == (1.0, 3.0)
