"""Slots: x and d arrive as cotangents, and nothing else gets a gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError, GradientError, ShapeError, SlotError
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
    assert_close(signal.d, d)
    assert_close(dx, d @ np.asarray(tile.read()))


@pytest.mark.parametrize("mapping", [Mapping(), SPLIT], ids=["tile", "array"])
def test_outer_products_add_up_to_the_dense_gradient(mapping, key):
    tile = tile_of(key, mapping)
    x = random.normal(random.key(1), (5, I))

    def head(y):
        return jnp.sum(jnp.tanh(y) ** 2)

    signal = jax.grad(lambda slot: head(mvm(tile, x, slot, key=key)))(slot_for(tile, x))
    dense = jax.grad(lambda w: head(jnp.einsum("bi,oi->bo", x, w, precision="highest")))(tile.read())
    assert_close(np.einsum("bo,bi->oi", *map(np.asarray, (signal.d, signal.x))), dense)
    moved = update(tile, signal, 0.1, key=key)
    assert_close(moved.read(), tile.read() - 0.1 * dense)


def test_the_noise_is_the_same_with_and_without_a_gradient(key):
    tile = tile_of(key, device=ConstantStep(), periphery=Periphery())
    x = random.normal(random.key(1), (3, I))
    plain = mvm(tile, x, key=key)
    value, _ = jax.value_and_grad(lambda s: (y := mvm(tile, x, s, key=key)).sum() + 0 * y.sum())(slot_for(tile, x))
    assert_close(value, plain.sum())
    assert_same_bits(mvm(tile, x, slot_for(tile, x), key=key), plain)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint])
def test_the_gradient_of_a_tile_is_refused(key, wrap):
    tile, x = tile_of(key), jnp.ones((2, I))

    @wrap
    def loss(tile, x):
        return mvm(tile, x, key=key).sum()

    with pytest.raises(GradientError, match=r"state\.w.*PulsedSGD"):
        jax.grad(loss)(tile, x)
    with pytest.raises(GradientError):
        jax.value_and_grad(lambda both: loss(both["tile"], x) + both["bias"])({"tile": tile, "bias": 0.0})
    assert_same_bits(jax.grad(loss, argnums=1)(tile, x), jax.grad(loss, argnums=1)(jax.lax.stop_gradient(tile), x))
    assert not jax.grad(lambda t: loss(jax.lax.stop_gradient(t), x))(tile).state.w.any()


def test_a_gradient_in_a_loop_or_a_branch_is_refused_only_where_it_is_asked_for(key):
    tile, x = tile_of(key), jnp.ones((2, I))

    def looped(tile, x):
        def step(total, row):
            branch = jax.lax.cond(row.sum() > 0, lambda: mvm(tile, row, key=key).sum(), lambda: 0.0)
            return total + branch, None

        return jax.lax.scan(step, 0.0, x)[0]

    with pytest.raises(GradientError):
        jax.grad(looped)(tile, x)
    assert jax.grad(looped, argnums=1)(tile, x).shape == x.shape


def test_one_slot_cannot_serve_two_calls_by_hand(key):
    tile, x = tile_of(key), jnp.ones((2, I))
    first, second = slot_for(tile, x), slot_for(tile, x)

    def loss(first, second):
        return (mvm(tile, x, first, key=key) * mvm(tile, 2 * x, second, key=key)).sum()

    for grad in (jax.grad, lambda f: jax.jit(jax.grad(f))):
        with pytest.raises(SlotError, match="a second time"):
            grad(lambda slot: loss(slot, slot))(first)
    one, two = jax.grad(loss, argnums=(0, 1))(first, second)
    assert_close(two.x, 2 * one.x)
    jax.grad(loss, argnums=(0, 1))(first, second)  # another derivative may use them again


@pytest.mark.parametrize("given", ["bfloat16", "float16", "float32", "int32", "uint8", "bool"])
@pytest.mark.parametrize("held", ["bfloat16", "float32"])
def test_inputs_of_every_dtype(given, held, key):
    tile = create(TileConfig(), (O, I), key, dtype=held)
    x = jnp.asarray(np.arange(4 * I).reshape(4, I) % 2, given)
    y = mvm(tile, x, key=key)
    floating = jnp.issubdtype(given, jnp.floating)
    assert y.dtype == (jnp.promote_types(given, held) if floating else jnp.dtype(held))
    wide = mvm(tile, x.astype(jnp.float32), key=key)
    assert_close(y, wide, dtype=jnp.bfloat16 if "bfloat16" in (given, held) else y.dtype)
    slot = slot_for(tile, x)
    signal = jax.grad(lambda slot: mvm(tile, x, slot, key=key).astype(jnp.float32).sum())(slot)
    assert signal.x.dtype == signal.d.dtype == y.dtype and signal.d.all()
    new = update(tile, signal, 0.1, key=key)
    assert jax.tree.map(lambda v: v.dtype, new) == jax.tree.map(lambda v: v.dtype, tile)
    assert np.any(np.asarray(new.read() != tile.read()))
    if floating:
        assert jax.grad(lambda x: mvm(tile, x, key=key).astype(jnp.float32).sum())(x).dtype == x.dtype


def test_complex_inputs_are_refused(key):
    with pytest.raises(ShapeError, match="real"):
        mvm(tile_of(key), jnp.ones((2, I), complex), key=key)


def test_an_empty_batch_moves_nothing(key):
    tile = tile_of(key)
    assert mvm(tile, jnp.zeros((0, I)), key=key).shape == (0, O)
    assert_same_bits(update(tile, Signal(jnp.zeros((0, I)), jnp.zeros((0, O))), 0.1, key=key), tile)
    assert_same_bits(update(tile, (), 0.1, key=key), tile)


def test_calls_are_pulsed_in_order(key):
    tile = tile_of(key)
    parts = [Signal(jnp.full((n, I), 0.5 * n), jnp.full((n, O), 1.0 - n)) for n in (1, 2, 3)]
    whole = Signal(*(jnp.concatenate([getattr(part, name) for part in parts]) for name in ("x", "d")))
    assert_same_bits(update(tile, parts, 0.1, key=key), update(tile, whole, 0.1, key=key))


STACKED = TileConfig(mapping=Mapping(max_input_size=2))


@pytest.mark.parametrize("made", [TileConfig(), STACKED], ids=["tile", "array"])
def test_a_stack_of_chips_is_pulsed_chip_by_chip(made, key):
    n = O  # as many chips as outputs: a wrong broadcast would fit
    chips = jax.vmap(lambda k: create_array(made, (O, I), k))(jax.random.split(key, n))
    x, d = random.normal(random.key(1), (n, 2, 5, I)), random.normal(random.key(2), (n, 2, 5, O))
    new = update(chips, Signal(x, d), 0.1, key=key)
    assert chips.stack == new.stack == (n,) and new.read().shape == (n, O, I)
    for k, own in enumerate(jax.random.split(key, n)):
        one = jax.tree.map(lambda leaf, k=k: leaf[k], chips)
        assert_close(new.read()[k], update(one, Signal(x[k], d[k]), 0.1, key=own).read())


def test_stacks_of_chips_that_do_not_fit_are_refused(key):
    chips = jax.vmap(lambda k: create(TileConfig(), (O, I), k))(jax.random.split(key, 2))
    x, d = jnp.ones((2, 5, I)), jnp.ones((2, 5, O))
    for wrong in (Signal(x[0], d[0]), Signal(x[:1], d[:1]), Signal(x, d[:, :4])):
        with pytest.raises(ShapeError, match="stack"):
            update(chips, wrong, 0.1, key=key)
    last = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), chips)
    with pytest.raises(ShapeError):
        update(last, Signal(x, d), 0.1, key=key)
    with pytest.raises(ShapeError, match="vmap"):
        mvm(chips, x, key=key)
    with pytest.raises(ShapeError, match="vmap"):
        chips.write(jnp.zeros((2, O, I)), key)


@pytest.mark.parametrize("made", [TileConfig(), STACKED], ids=["tile", "array"])
def test_write_takes_the_shape_of_the_tile_alone(made, key):
    tile = create_array(made, (O, I), key)
    for wrong in ((I, O), (I,), (1, I), (O, 1), (), (1, O, I), (2, 3)):
        with pytest.raises(ShapeError, match="must be equal"):
            tile.write(jnp.zeros(wrong), key)
    assert_close(tile.write(np.full((O, I), 0.1), key).read(), np.full((O, I), 0.1), dtype=np.float32)


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
    assert_close(signal.d, whole.d)
    each = jax.vmap(lambda x, s: jax.grad(lambda s: jnp.sum(mvm(tile, x, s, key=key) ** 2))(s))(x, slots)
    assert_close(each.d, whole.d)


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


def test_a_seed_is_no_key(key):
    tile = tile_of(key)
    for act in (
        lambda: mvm(tile, jnp.ones((2, I)), key=0),
        lambda: update(tile, slot_for(tile, jnp.ones((2, I))), 0.1, key=0),
        lambda: create(TileConfig(), (O, I), 0),
    ):
        with pytest.raises(ConfigError, match=r"analogjax\.random\.key\(0\)"):
            act()
