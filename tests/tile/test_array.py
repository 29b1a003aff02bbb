"""A matrix over several chips is the same matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError, ShapeError
from analogjax.physics import ADC, DAC, ConstantStep, Drift, Ideal, Periphery, Pulses
from analogjax.physics.compounds import tiki_taka
from analogjax.tile import Mapping, Signal, Tile, TileArray, TileConfig, create_array, mvm, update
from tests.suites import first_fast
from tests.tolerance import assert_close, assert_same_bits

PERFECT = Periphery(is_perfect=True)
# outputs, inputs, largest rows, largest columns -> grid
CASES = {
    "divides": (8, 6, 4, 3, (2, 2)),
    "10x7 at 4/3": (10, 7, 4, 3, (3, 3)),
    "columns only": (3, 10, 0, 4, (1, 3)),
    "rows only": (5, 3, 2, 0, (3, 1)),
    "784 at 512": (2, 784, 512, 512, (1, 2)),
}


def array(case, device=None, key=None, **mapping):
    outputs, inputs, rows, columns, _ = CASES[case]
    config = TileConfig(
        device=device or Ideal(),
        forward=PERFECT,
        backward=PERFECT,
        mapping=Mapping(max_output_size=rows, max_input_size=columns, **mapping),
    )
    return create_array(config, (outputs, inputs), random.key(0) if key is None else key)


@pytest.mark.parametrize("case", first_fast(CASES))
def test_it_computes_what_the_dense_matrix_computes(case, key):
    outputs, inputs, rows, columns, grid = CASES[case]
    chips = array(case)
    assert isinstance(chips, TileArray) and chips.grid == grid and chips.shape == (outputs, inputs)
    o, i = chips.tiles.state.w.shape[2:]
    assert (not rows or o <= rows) and (not columns or i <= columns)
    w = np.asarray(chips.read(), np.float64)
    assert w.shape == (outputs, inputs)
    x, d = random.normal(random.key(1), (3, inputs)), random.normal(random.key(2), (3, outputs))
    assert_close(chips.forward(x, key)[0], np.asarray(x) @ w.T)
    assert_close(chips.backward(d, None, key), np.asarray(d) @ w)
    assert_close(chips.update(x, d, 0.1, key).read(), w - 0.1 * np.asarray(d).T @ np.asarray(x))
    assert_close(mvm(chips, x[0], key=key), np.asarray(x[0]) @ w.T)


def test_784_columns_are_two_of_392():
    assert array("784 at 512").tiles.state.w.shape == (1, 2, 2, 392)


@pytest.mark.parametrize(
    "mapping", [{}, {"weight_scaling_omega": 0.5}, {"weight_scaling_omega": 0.5, "weight_scaling_columnwise": True}]
)
@pytest.mark.parametrize("case", ["divides", "10x7 at 4/3"])
def test_what_is_written_is_read(case, mapping, key):
    chips = array(case, **mapping)
    w = random.normal(random.key(3), chips.shape)
    assert_close(chips.write(w, key).read(), w)
    made = create_array(chips.config, chips.shape, key, w)
    assert_close(made.read(), w)


def test_a_matrix_that_fits_is_one_tile(key):
    config = TileConfig(mapping=Mapping(max_output_size=4, max_input_size=6))
    assert isinstance(create_array(config, (4, 6), key), Tile)
    assert isinstance(create_array(TileConfig(mapping=Mapping(max_output_size=0, max_input_size=0)), (4, 6), key), Tile)
    assert isinstance(create_array(config, (4, 7), key), TileArray)


def test_padding_is_never_pulsed(key):
    chips = array("10x7 at 4/3", device=ConstantStep(dw_min=0.01))
    x, d = random.normal(random.key(1), (8, 7)), random.normal(random.key(2), (8, 10))
    moved = update(chips, Signal(x=x, d=d), 1.0, key=key)
    same = np.asarray(moved.tiles.state.w == chips.tiles.state.w)
    # 10 rows at 4: 4, 3, 3; 7 columns at 3: 3, 2, 2
    for row, rows in enumerate((4, 3, 3)):
        for column, columns in enumerate((3, 2, 2)):
            assert same[row, column, rows:].all() and same[row, column, :, columns:].all()
            assert not same[row, column, :rows, :columns].all()


def test_each_chip_has_its_own_devices_and_noise(key):
    chips = array("divides", device=ConstantStep())
    bounds = np.asarray(chips.tiles.cells["max_bound"]).reshape(4, -1)
    assert len(np.unique(bounds, axis=0)) == 4


def test_a_chip_of_the_array_is_a_tile(key):
    # noisy converters see one chip only: the array is the sum of its chips, each with the key that `split` gives it
    outputs, inputs, rows, columns, grid = CASES["divides"]
    config = TileConfig(mapping=Mapping(max_output_size=rows, max_input_size=columns), update=Pulses(desired_bl=7))
    chips = create_array(config, (outputs, inputs), key)
    x = random.normal(random.key(1), (3, inputs))
    keys = jax.random.split(key, grid)
    total = np.zeros((3, outputs))
    for r in range(2):
        for c in range(2):
            tile = jax.tree.map(lambda leaf: leaf[r, c], chips.tiles)  # noqa: B023
            total[:, 4 * r : 4 * r + 4] += tile.forward(x[:, 3 * c : 3 * c + 3], keys[r, c])[0]
    assert_close(chips.forward(x, key)[0], total)


def test_rest_reset_and_age(key):
    chips = array("10x7 at 4/3", device=Ideal(lifetime=10.0, reset_std=0.0))
    assert_close(chips.rest(key).read(), 0.9 * np.asarray(chips.read()))
    assert not chips.reset(key).read().any()
    drifting = array("10x7 at 4/3", device=ConstantStep(drift=Drift(nu=0.1), w_max_dtod=0.0, w_min_dtod=0.0))
    assert_close(drifting.age(10.0, key).read(), np.asarray(drifting.read(), np.float64) * 10**-0.1)


def test_gradient_through_clipped_chips(key):
    forward = Periphery(dac=DAC(res=0.0), adc=ADC(noise=0.0, res=0.0, bound=1.0), bound_management=None)
    config = TileConfig(device=Ideal(), forward=forward, backward=PERFECT, mapping=Mapping(max_input_size=1))
    chips = create_array(config, (1, 2), key, jnp.array([[2.0, 0.5]]))
    dx = jax.grad(lambda x: mvm(chips, x, key=key).sum())(jnp.ones((1, 2)))
    assert_close(dx, [[0.0, 0.5]])  # the first chip clips, the second one does not


def test_wrong_weights_are_refused(key):
    config = TileConfig(mapping=Mapping(max_input_size=2))
    with pytest.raises(ShapeError, match="create_array"):
        create_array(config, (3, 5), key, jnp.zeros((5, 3)))


@pytest.mark.parametrize(
    "device", [ConstantStep(perfect_bias=True), tiki_taka(devices=(ConstantStep(perfect_bias=True),) * 2)]
)
def test_an_ideal_last_column_of_chips_of_unequal_sizes_is_refused(device, key):
    with pytest.raises(ConfigError, match="7 columns on 3 chips of unequal sizes"):
        array("10x7 at 4/3", device, key)
    assert array("divides", device, key).grid == (2, 2)


def test_updates_do_not_depend_on_jit(key):
    chips = array("10x7 at 4/3", device=ConstantStep())
    x, d = random.normal(random.key(1), (4, 7)), random.normal(random.key(2), (4, 10))
    step = jax.jit(lambda c, k: update(c, Signal(x=x, d=d), 0.1, key=k))
    assert_same_bits(step(chips, key), step(chips, key))
    assert_close(step(chips, key).read(), update(chips, Signal(x=x, d=d), 0.1, key=key).read())
