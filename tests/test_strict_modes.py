"""JAX's debugging switches and transformations: the library works under each of them, with default settings."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import Mesh, PartitionSpec

from analogjax import BasicTraining, LocalRunner, nn, optim, random
from analogjax.data import Split
from analogjax.experiments import Arrays
from analogjax.physics import (
    ConstantStep,
    ExpStep,
    MixedPrecision,
    NoiseManagement,
    OneSided,
    Periphery,
    Pulses,
    SoftBounds,
    SoftBoundsReference,
    Vector,
    c_ttv2,
    tiki_taka,
)
from analogjax.tile import Mapping, Signal, TileConfig, create, create_array, mvm, slot_for, update
from tests.tolerance import assert_close, assert_same_bits

PAIR = (SoftBounds(), SoftBounds())
DEVICES = {
    "constant": ConstantStep(),
    "reference": SoftBoundsReference(write_noise_std=1.0),
    "exp": ExpStep(),
    "vector": Vector(devices=PAIR),
    "one sided": OneSided(device=SoftBounds()),
    "transfer": tiki_taka(devices=PAIR),
    "chopped": c_ttv2(devices=PAIR),
    "mixed": MixedPrecision(device=SoftBounds()),
}
X, D = random.normal(random.key(1), (8, 5)), random.normal(random.key(2), (8, 4))
SWITCHES = {
    "rank promotion": lambda: jax.numpy_rank_promotion("raise"),
    "nans": lambda: jax.debug_nans(True),
    "leaks": lambda: jax.checking_leaks(),
    "keys": lambda: jax.debug_key_reuse(True),
    "no jit": lambda: jax.disable_jit(),
    "x64": lambda: jax.enable_x64(True),
}


def step(config, key):
    """A chip is made, read, differentiated and pulsed."""
    k_make, k_read, k_pulse = jax.random.split(key, 3)
    tile = create_array(config, (4, 5), k_make)
    signal = jax.grad(lambda slot: jnp.sum(mvm(tile, X, slot, key=k_read) ** 2))(slot_for(tile, X))
    return update(tile, signal, 0.1, key=k_pulse).read()


def cases():
    for name in DEVICES:
        for switch in SWITCHES:
            # operation by operation these take seconds, and the others a second
            marks = pytest.mark.slow if switch == "no jit" and name in ("constant", "reference") else ()
            yield pytest.param(name, switch, marks=marks, id=f"{name}-{switch}")


@pytest.mark.parametrize(("name", "switch"), list(cases()))
def test_a_step_under(name, switch, key):
    config = TileConfig(device=DEVICES[name], mapping=Mapping(max_input_size=3 if name == "constant" else 0))
    with SWITCHES[switch]():
        w = step(config, key)
    assert w.dtype == jnp.float32 and w.shape == (4, 5) and np.all(np.isfinite(w))
    if switch not in ("no jit", "x64"):  # compiled and eager programs round differently
        assert_same_bits(w, step(config, key))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", DEVICES)
def test_chips_in_half_precision_keep_their_dtypes(name, dtype, key):
    tile = create(TileConfig(device=DEVICES[name]), (4, 5), key, dtype=dtype)
    new = update(tile, Signal(X, D), 0.1, key=key)
    assert jax.tree.map(lambda leaf: leaf.dtype, new) == jax.tree.map(lambda leaf: leaf.dtype, tile)
    assert np.all(np.isfinite(new.read().astype(jnp.float32)))


def experiment():
    data = np.random.default_rng(0).random((12, 4), np.float32)
    split = Split(images=data, labels=(data.sum(1) > 2).astype(np.int32))
    model = nn.Sequential(nn.AnalogLinear(3), linen.BatchNorm(), jnp.tanh, nn.AnalogLinear(2), jax.nn.log_softmax)
    return BasicTraining(Arrays(split, split), model, batch_size=4, epochs=1)


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_training_under(switch):
    with SWITCHES[switch]():
        results = LocalRunner().run(experiment(), stdout=False)
    assert np.isfinite(results[0]["train_loss"])
    assert all(leaf.dtype != jnp.float64 for leaf in jax.tree.leaves(results.variables.tiles))


MESH = PartitionSpec("items")


def over_items(f):
    mesh = Mesh(np.array(jax.devices()[:2]), ("items",))
    return jax.jit(jax.shard_map(f, mesh=mesh, in_specs=(PartitionSpec(), MESH, MESH), out_specs=MESH))


@pytest.mark.parametrize(
    "p", [Periphery(), Periphery(noise_management=NoiseManagement(kind="AverageAbsMax")), Periphery(is_perfect=True)]
)
def test_reading_and_its_signals_under_shard_map(p, key):
    tile = create(TileConfig(forward=p, backward=p), (4, 5), key)

    def signals(tile, x, d):
        return jax.grad(lambda s: jnp.sum(mvm(tile, x, s, key=random.key(3)) * d))(slot_for(tile, x))

    signal = over_items(signals)(tile, X, D)
    assert_same_bits(signal.x, X)
    reached = np.asarray(signal.d != 0)  # an output at its bound passes no gradient, nothing else changes it
    assert_close(signal.d, np.where(reached, D, 0))


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("name", DEVICES)
def test_pulsing_under_shard_map(name, sequential, key):
    tile = create(TileConfig(device=DEVICES[name], update=Pulses(sequential=sequential)), (4, 5), key)

    def pulsed(tile, x, d):
        return update(tile, Signal(x, d), 0.1, key=random.key(3)).read()[None]

    halves = over_items(pulsed)(tile, X, D)
    for half, w in zip((slice(0, 4), slice(4, 8)), halves, strict=True):
        assert_close(w, update(tile, Signal(X[half], D[half]), 0.1, key=random.key(3)).read())


def test_a_slot_that_does_not_vary_is_refused(key):
    tile = create(TileConfig(), (4, 5), key)
    outside = slot_for(tile, X[:4])

    def signals(tile, x, d):
        return jax.grad(lambda s: jnp.sum(mvm(tile, x, s, key=random.key(3)) * d))(outside).x

    with pytest.raises(ValueError, match="make it inside"):
        over_items(signals)(tile, X, D)


MODEL = experiment().model


def training_step(variables, x, y, seed):
    k_read, k_pulse = jax.random.split(jax.random.wrap_key_data(seed, impl=random.FAST))

    def loss(params, slots):
        out, collections = nn.apply_training(MODEL, variables.replace(params=params), x, key=k_read, slots=slots)
        return -jnp.mean(out[jnp.arange(y.size), y]), collections

    slots = nn.slots(MODEL, variables, x)
    (_, collections), (g, signals) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(variables.params, slots)
    pulsed = optim.PulsedSGD(0.1)
    tiles, _ = pulsed.update(signals, pulsed.init(variables.tiles), variables.tiles, key=k_pulse)
    params = jax.tree.map(lambda p, g: p - 0.1 * g, variables.params, g)
    return nn.Variables(params, tiles, collections)


def test_a_training_step_is_exported_for_accelerators(key):
    x, y, seed = X[:, :4], jnp.zeros(8, int), jax.random.key_data(random.key(3))
    variables = nn.init(experiment().model, x, key)
    exported = export.export(jax.jit(training_step), platforms=("cpu", "cuda", "tpu"))(variables, x, y, seed)
    again = export.deserialize(exported.serialize())
    assert again.platforms == ("cpu", "cuda", "tpu")
    assert_same_bits(again.call(variables, x, y, seed), jax.jit(training_step)(variables, x, y, seed))


@pytest.mark.parametrize("device", DEVICES)
def test_inference_and_updates_are_lowered_for_accelerators(device, key):
    tile = create(TileConfig(device=DEVICES[device]), (4, 5), key)

    def both(tile, x, d, seed):
        k_read, k_pulse = jax.random.split(jax.random.wrap_key_data(seed, impl=random.FAST))
        return mvm(tile, x, key=k_read), update(tile, Signal(x, d), 0.1, key=k_pulse)

    exported = export.export(jax.jit(both), platforms=("cuda", "tpu"))(tile, X, D, jax.random.key_data(key))
    assert "custom_call" not in exported.mlir_module().replace("custom_call @Sharding", "")
