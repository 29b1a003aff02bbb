"""Chips are ordinary JAX data: whatever a tool of the ecosystem makes of their leaves, their structure stays."""

from dataclasses import replace

import equinox as eqx
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax import export
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from analogjax import nn, pytree, random
from analogjax._pytree import data_fields
from analogjax.physics import (
    ADC,
    ConstantStep,
    GlobalCompensation,
    NoiseManagement,
    OneSided,
    PCMLike,
    Periphery,
    SoftBounds,
    SoftBoundsReference,
    Vector,
    tiki_taka,
)
from analogjax.tile import Mapping, TileConfig, create, create_array, mvm, program
from tests.tolerance import assert_close, assert_same_bits

SWEPT = SoftBounds(dw_min=jnp.asarray(0.01))
PART = ConstantStep(dw_min=0.01)


def chip(seed=0, device=SWEPT, **config):
    return create(TileConfig(device=device, **config), (2, 3), random.key(seed))


def nodes():
    yield "tile", chip()
    yield "array", create_array(TileConfig(mapping=Mapping(max_input_size=2)), (2, 5), random.key(1))
    yield "vector", chip(device=Vector(devices=(PART, SWEPT)))
    yield "one sided", chip(device=OneSided(device=PART))
    yield "transfer", chip(device=tiki_taka(devices=(PART, PART)))
    yield "write noise", chip(device=SoftBoundsReference(write_noise_std=1.0))
    yield (
        "noisy outputs",
        chip(forward=Periphery(noise_management=NoiseManagement(kind="AverageAbsMax"), adc=ADC(noise_std=0.1))),
    )
    yield "programmed", program(chip(), PCMLike(), GlobalCompensation(), random.key(2))
    yield "variables", nn.init(nn.Sequential(nn.AnalogLinear(3), nn.AnalogLinear(2)), jnp.ones((1, 4)), random.key(3))


NODES = dict(nodes())
VALUES = [None, True, 0, 1.5, "label", (), (1, 2), b"x", PartitionSpec("rows"), jnp.zeros(2), object(), [1], {"a": 0}]


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("value", VALUES, ids=[type(value).__name__ for value in VALUES])
def test_a_leaf_may_become_anything(name, value):
    node = NODES[name]
    mapped = jax.tree.map(lambda _: value, node)
    leaves = jax.tree.leaves(mapped, is_leaf=lambda leaf: leaf is value)
    assert len(leaves) == len(jax.tree.leaves(node)) and all(leaf is value for leaf in leaves)
    is_leaf = lambda leaf: leaf is value  # noqa: E731
    assert jax.tree.structure(mapped, is_leaf=is_leaf) == jax.tree.structure(node)
    back = jax.tree.map(lambda _, leaf: leaf, mapped, node, is_leaf=is_leaf)
    assert_same_bits(back, node)


@pytest.mark.parametrize("name", NODES)
def test_paths_and_leaves_agree(name):
    node = NODES[name]
    with_paths = jax.tree_util.tree_leaves_with_path(node)
    assert [leaf for _, leaf in with_paths] == jax.tree.leaves(node)
    assert len({jax.tree_util.keystr(path) for path, _ in with_paths}) == len(with_paths)


def test_two_chips_are_compared_leaf_by_leaf():
    a, b = chip(0), chip(1)
    assert not jax.tree.all(jax.tree.map(np.array_equal, a, b))
    assert jax.tree.all(jax.tree.map(np.array_equal, a, chip(0)))
    apart = jax.tree.leaves(jax.tree.map(lambda x, y: float(abs(x - y).max()), a, b))
    assert len(apart) == len(jax.tree.leaves(a)) and max(apart) > 0.01
    assert sum(jax.tree.leaves(jax.tree.map(lambda leaf: leaf.size, a))) == sum(x.size for x in jax.tree.leaves(a))


def test_the_constructor_decides_and_so_does_replace():
    mask = jax.tree.map(lambda _: True, SWEPT)
    assert data_fields(mask) == ("dw_min",) and data_fields(replace(mask, dw_min=0.1)) == ()
    assert data_fields(replace(SWEPT, w_max=jnp.ones(()))) == ("dw_min", "w_max")


def test_the_decorator_is_public():
    @pytree
    class Own:
        rate: object = 0.1
        name: str = "own"

    own = Own(rate=jnp.ones(3))
    axes = jax.tree.map(lambda _: 0, own)
    assert_close(jax.vmap(lambda o: 2 * o.rate, in_axes=(axes,))(own), [2, 2, 2])

    @pytree(kw_only=False)
    class Pair:
        a: object
        b: object

    assert jax.tree.leaves(Pair(jnp.ones(2), 3.0))[0].shape == (2,)


def test_masked_and_multi_transform_of_optax_take_chips():
    tree = {"chip": chip(), "bias": jnp.ones(2)}
    mask = {"chip": jax.tree.map(lambda _: False, tree["chip"]), "bias": True}
    masked = optax.masked(optax.sgd(0.5), mask)
    moves, _ = masked.update(jax.tree.map(jnp.ones_like, tree), masked.init(tree), tree)
    assert_close(moves["bias"], [-0.5, -0.5])
    labels = {"chip": jax.tree.map(lambda _: "keep", tree["chip"]), "bias": "move"}
    both = optax.multi_transform({"keep": optax.set_to_zero(), "move": optax.sgd(0.5)}, labels)
    moves, _ = both.update(jax.tree.map(jnp.ones_like, tree), both.init(tree), tree)
    assert all(not leaf.any() for leaf in jax.tree.leaves(moves["chip"])) and moves["bias"].any()


def test_vmap_with_a_tree_of_axes():
    chips = jax.tree.map(lambda *leaves: jnp.stack(leaves), chip(0), chip(1))
    axes = jax.tree.map(lambda _: 0, chips)
    assert_same_bits(jax.vmap(lambda t: t.read(), in_axes=(axes,))(chips), jnp.stack([chip(0).read(), chip(1).read()]))
    out = jax.vmap(lambda t: t, in_axes=(axes,), out_axes=axes)(chips)
    assert_same_bits(out, chips)


def test_jit_with_a_tree_of_shardings():
    mesh = Mesh(np.array(jax.devices()[:2]), ("rows",))
    tile = create(TileConfig(), (4, 3), random.key(0))
    own = jax.tree.map(
        lambda leaf: NamedSharding(mesh, PartitionSpec("rows") if leaf.ndim == 2 else PartitionSpec()), tile
    )
    assert_same_bits(jax.jit(lambda t: t.read(), in_shardings=(own,))(tile), tile.read())


TREE = {"chip": chip(), "two": [chip(1, device=Vector(devices=(PART, SWEPT))), jnp.arange(3)]}
OTHER = {"chip": chip(5), "two": [chip(6, device=Vector(devices=(PART, SWEPT))), jnp.zeros(3, int)]}


def test_orbax_saves_and_restores_chips(tmp_path):
    with ocp.StandardCheckpointer() as standard:
        standard.save(tmp_path / "standard", TREE)
        standard.wait_until_finished()
        assert_same_bits(standard.restore(tmp_path / "standard", OTHER), TREE)
    with ocp.PyTreeCheckpointer() as plain:
        plain.save(tmp_path / "plain", TREE)
        own = ocp.checkpoint_utils.construct_restore_args(OTHER)
        assert_same_bits(plain.restore(tmp_path / "plain", item=OTHER, restore_args=own), TREE)


@pytest.mark.parametrize("make", [jax.random.key, random.key])
def test_orbax_manager_restores_chips_and_keys(tmp_path, make):
    with ocp.CheckpointManager(tmp_path / "managed") as manager:
        manager.save(3, args=ocp.args.StandardSave(TREE | {"key": make(7)}))
        manager.wait_until_finished()
        back = manager.restore(3, args=ocp.args.StandardRestore(OTHER | {"key": make(1)}))
    assert_same_bits(jax.random.normal(back.pop("key"), (3,)), jax.random.normal(make(7), (3,)))
    assert_same_bits(back, TREE)


def test_flax_serialises_chips():
    data = flax.serialization.to_bytes(TREE)
    assert_same_bits(flax.serialization.from_bytes(OTHER, data), TREE)
    variables = NODES["variables"]
    target = jax.tree.map(jnp.zeros_like, variables)
    assert_same_bits(flax.serialization.from_bytes(target, flax.serialization.to_bytes(variables)), variables)


def test_flax_refuses_a_target_of_another_device():
    data = flax.serialization.to_bytes(chip())
    with pytest.raises(ValueError, match="same configuration"):
        flax.serialization.from_bytes(chip(device=SoftBounds()), data)
    with pytest.raises(ValueError, match="same shape"):
        flax.serialization.from_bytes(create(TileConfig(device=SWEPT), (4, 3), random.key(0)), data)


class Net(eqx.Module):
    chip: object
    head: jax.Array

    def __call__(self, x, key):
        return mvm(self.chip, x, key=key) @ self.head


def test_equinox_parts_and_combines_chips():
    net = Net(chip(), jnp.ones((2, 1)))
    arrays, rest = eqx.partition(net, eqx.is_array)
    assert len(jax.tree.leaves(arrays)) == len(jax.tree.leaves(net)) and not jax.tree.leaves(rest)
    assert_same_bits(eqx.combine(arrays, rest), net)
    spec = eqx.tree_at(lambda s: s.head, jax.tree.map(lambda _: False, net), True)
    trained, frozen = eqx.partition(net, spec)
    x = jnp.ones((4, 3))

    @eqx.filter_grad
    def slope(trained):
        return eqx.combine(trained, frozen)(x, random.key(1)).sum()

    assert_close(slope(trained).head[:, 0], mvm(net.chip, x, key=random.key(1)).sum(0))


def test_equinox_differentiates_what_a_chip_holds():
    net = Net(chip(), jnp.ones((2, 1)))
    slope = eqx.filter_grad(lambda net: jnp.sum(net.chip.read() ** 2) + net.head.sum())(net)
    assert_close(slope.chip.state.w, 2 * net.chip.read() * net.chip.scale)


@pytest.mark.parametrize("node", [chip(), chip(device=Vector(devices=(PART, SWEPT))), NODES["array"]])
def test_exported_functions_take_chips(node):
    def read(tile, x, seed):
        return mvm(tile, x, key=jax.random.wrap_key_data(seed, impl=random.FAST))

    (batch,) = export.symbolic_shape("batch")
    seed = jax.random.key_data(random.key(9))
    x = jax.random.normal(jax.random.key(1), (7, node.shape[1]))
    some = jax.ShapeDtypeStruct((batch, node.shape[1]), jnp.float32)
    data = export.export(jax.jit(read), platforms=("cpu", "cuda", "tpu"))(node, some, seed).serialize()
    assert_same_bits(export.deserialize(data).call(node, x, seed), jax.jit(read)(node, x, seed))


def test_keys_are_known_by_name():
    key = jax.random.key(3, impl="analogjax")
    assert_same_bits(jax.random.key_data(key), jax.random.key_data(random.key(3)))
