"""Slots: x and d arrive as cotangents, and nothing else gets a gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ShapeError
from analogjax.physics import ConstantStep, Ideal, Periphery
from analogjax.tile import Mapping, Signal, TileConfig, create, create_array, mvm, slot_for, update
from tests.tolerance import assert_close, assert_same_bits

O, I = 4, 6  # noqa: E741 - the letters of the library
PERFECT = Periphery(is_perfect=True)
SPLIT = Mapping(max_input_size=4, max_output_size=3)


def tile_of(key, mapping=None, device=None, periphery=PERFECT):
    config = TileConfig(device=device or Ideal(), forward=periphery, backward=periphery, mapping=mapping or Mapping())
    return create_array(config, (O, I), key)


@pytest.mark.parametrize("mapping", [Mapping(), SPLIT], ids=["tile", "array"])
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_the_cotangent_of_a_slot_is_x_and_d(lead, mapping, key):
    tile = tile_of(key, mapping)
    x, target = random.normal(random.key(1), (*lead, I)), random.normal(random.key(2), (*lead, O))

    def loss(x, slot):
        return 0.5 * jnp.sum((mvm(tile, x, slot, key=key) - target) ** 2)

    dx, signal = jax.jit(jax.grad(loss, argnums=(0, 1)))(x, slot_for(tile, x))
    assert isinstance(signal, Signal)
    assert_same_bits(signal.x, x)
    d = np.asarray(x, np.float64) @ np.asarray(tile.read(), np.float64).T - target
    assert_close(signal.d, d, factor=8)
    assert_close(dx, d @ np.asarray(tile.read()), factor=8)


@pytest.mark.parametrize("mapping", [Mapping(), SPLIT], ids=["tile", "array"])
def test_outer_products_add_up_to_the_dense_gradient(mapping, key):
    tile = tile_of(key, mapping)
    x = random.normal(random.key(1), (5, I))

    def head(y):
        return jnp.sum(jnp.tanh(y) ** 2)

    signal = jax.grad(lambda slot: head(mvm(tile, x, slot, key=key)))(slot_for(tile, x))
    dense = jax.grad(lambda w: head(jnp.einsum("bi,oi->bo", x, w, precision="highest")))(tile.read())
    assert_close(np.einsum("bo,bi->oi", *map(np.asarray, (signal.d, signal.x))), dense, factor=16)
    moved = update(tile, signal, 0.1, key=key)
    assert_close(moved.read(), tile.read() - 0.1 * dense, factor=8)


def test_the_noise_is_the_same_with_and_without_a_gradient(key):
    tile = tile_of(key, device=ConstantStep(), periphery=Periphery())
    x = random.normal(random.key(1), (3, I))
    plain = mvm(tile, x, key=key)
    value, _ = jax.value_and_grad(lambda s: (y := mvm(tile, x, s, key=key)).sum() + 0 * y.sum())(slot_for(tile, x))
    assert_close(value, plain.sum(), factor=4)
    assert_same_bits(mvm(tile, x, slot_for(tile, x), key=key), plain)


def test_a_tile_gets_no_gradient(key):
    tile = tile_of(key)
    x = jnp.ones((2, I))
    gradient = jax.grad(lambda tile: mvm(tile, x, key=key).sum(), allow_int=True)(tile)
    assert not gradient.state.w.any()


def test_slots_under_vmap_and_scan(key):
    tile = tile_of(key)
    x = random.normal(random.key(1), (4, 3, I))
    slots = slot_for(tile, x)

    def loss(slots):
        _, y = jax.lax.scan(lambda c, xs: (c, mvm(tile, xs[0], xs[1], key=key)), None, (x, slots))
        return jnp.sum(y**2)

    signal = jax.grad(loss)(slots)
    whole = jax.grad(lambda s: jnp.sum(mvm(tile, x, s, key=key) ** 2))(slots)
    assert_same_bits(signal.x, x)
    assert_close(signal.d, whole.d, factor=4)
    each = jax.vmap(lambda x, s: jax.grad(lambda s: jnp.sum(mvm(tile, x, s, key=key) ** 2))(s))(x, slots)
    assert_close(each.d, whole.d, factor=4)


def test_update_flattens_leading_axes_in_order(key):
    tile = tile_of(key, device=ConstantStep())
    x, d = random.normal(random.key(1), (2, 3, I)), random.normal(random.key(2), (2, 3, O))
    deep = update(tile, Signal(x=x, d=d), 0.1, key=key)
    assert_same_bits(deep, update(tile, Signal(x=x.reshape(6, I), d=d.reshape(6, O)), 0.1, key=key))


def test_wrong_shapes_are_refused(key):
    tile = tile_of(key)
    with pytest.raises(ShapeError, match="last axis of x must be 6"):
        mvm(tile, jnp.ones((2, 5)), key=key)
    with pytest.raises(ShapeError, match="slot_for"):
        mvm(tile, jnp.ones((2, I)), slot_for(tile, jnp.ones((3, I))), key=key)
    with pytest.raises(ShapeError, match="of shape"):
        mvm(tile, jnp.ones(()), key=key)
    for x, d in (((2, I), (3, O)), ((2, I - 1), (2, O)), ((2, I), (2, O + 1))):
        with pytest.raises(ShapeError, match="update"):
            update(tile, Signal(x=jnp.ones(x), d=jnp.ones(d)), 0.1, key=key)


def test_forward_mode_is_refused(key):
    tile = create(TileConfig(), (O, I), key)
    with pytest.raises(TypeError, match=r"forward-mode|jvp|custom_vjp"):
        jax.jvp(lambda x: mvm(tile, x, key=key), (jnp.ones((2, I)),), (jnp.ones((2, I)),))
