"""Promises of every device, single or compound: shapes, keys, transformations, and that nothing happens without cause.

Letters: `O` rows, `I` columns, `B` batch.
"""

from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from analogjax import random
from analogjax._pytree import is_static
from analogjax._typing import Array, Key
from analogjax.physics import Device, FloatingPoint, Ideal, Pulses
from analogjax.testing.closeness import assert_close, assert_same_bits
from analogjax.testing.promise import assert_follows

O, I, B = 4, 6, 5  # noqa: E741 - the letters of the library
FAST, SEQUENTIAL = Pulses(), Pulses(sequential=True)


@jax.jit
def _make(device: Any, key: Key, w: Array) -> tuple[Any, Any]:
    k_cells, k_write = jax.random.split(key)
    cells = device.fabricate(w.shape, w.dtype, k_cells)
    return cells, device.write(cells, w, k_write)


@lru_cache(maxsize=64)
def made(device: Any, shape: tuple[int, int] = (O, I), seed: int = 1) -> tuple[Any, Any]:
    """Constants and state of a chip that holds small weights."""
    w = jnp.linspace(-0.08, 0.08, shape[0] * shape[1], dtype=jnp.float32).reshape(shape)
    return _make(device, random.key(seed), w)


@lru_cache(maxsize=1)
def signal() -> tuple[Array, Array]:
    """Inputs `[B, I]` and errors `[B, O]`."""
    k_x, k_d = jax.random.split(random.key(2))
    return random.normal(k_x, (B, I)), random.normal(k_d, (B, O))


@jax.jit
def update(device: Any, p: Pulses, cells: Any, state: Any, x: Array, d: Array, lr: Array, key: Key) -> Any:
    """`device.update`, compiled once for each kind of device and pulses."""
    return device.update(p, cells, state, x, d, lr, key)


def life(device: Any, cells: Any, state: Any, x: Array, d: Array, lr: Array, key: Key) -> Any:
    """An update and all other operations that may follow it."""
    k_update, k_rest, k_reset, k_age = jax.random.split(key, 4)
    state = device.update(FAST, cells, state, x, d, lr, k_update)
    state = device.rest(cells, state, k_rest, 0.5)
    chosen = jnp.arange(state.w.size).reshape(state.w.shape) % 5 == 0
    return device.age(cells, device.reset_cells(cells, state, chosen, k_reset), 2.0, k_age)


_life = jax.jit(life)
_RATE = 0.05


@lru_cache(maxsize=64)
def _lived(device: Any) -> Any:
    return _life(device, *made(device), *signal(), jnp.float32(_RATE), random.key(7))


def it_is_a_device(device: Any) -> None:
    """All methods exist; properties needed while tracing are known."""
    assert_follows(device, Device)
    assert device.granularity > 0, f"granularity is {device.granularity}; needs a weight change above 0"
    assert isinstance(device.needs_rest, bool), f"needs_rest is {device.needs_rest!r}; needs True or False"


def shapes_dtypes_and_structure_never_change(device: Any) -> None:
    """For every operation, in float32, bfloat16 and float64; constants are matrices `[O, I]`."""
    for dtype in ("float32", "bfloat16", "float64"):
        with jax.enable_x64(dtype == "float64"):
            states, cells = jax.eval_shape(lambda key, dtype=dtype: _everything(device, dtype, key), random.key(0))
        for cell in jax.tree.leaves(cells):
            found = (cell.shape, cell.dtype)
            assert found == ((O, I), jnp.dtype(dtype)), f"a constant is {found}; needs [{O}, {I}] of {dtype}"
        first = states["write"]
        assert first.w.dtype == jnp.dtype(dtype), f"write turns weights of {dtype} into {first.w.dtype}"
        for what, state in states.items():
            same = jax.tree.structure(state) == jax.tree.structure(first)  # type: ignore[operator]
            assert same, f"{what} returns a state of another structure than write: {state} for {first}"
            for leaf, before in zip(jax.tree.leaves(state), jax.tree.leaves(first), strict=True):
                one, other = (leaf.shape, leaf.dtype), (before.shape, before.dtype)
                assert one == other, f"{what} turns an array of the state, {other}, into {one}"


def _everything(device: Any, dtype: str, key: Key) -> tuple[dict[str, Any], Any]:
    k_cells, k_write, k_rest = jax.random.split(key, 3)
    cells = device.fabricate((O, I), jnp.dtype(dtype), k_cells)
    state = device.write(cells, jnp.zeros((O, I), dtype), k_write)
    x, d = jnp.ones((B, I), dtype), jnp.ones((B, O), dtype)
    return {
        "write": state,
        "update": device.update(FAST, cells, state, x, d, 0.1, k_rest),
        "sequential": device.update(SEQUENTIAL, cells, state, x, d, 0.1, k_rest),
        "rest": device.rest(cells, state, k_rest),
        "reset": device.reset_cells(cells, state, jnp.ones((O, I), bool), k_rest),
        "age": device.age(cells, state, 1.0, k_rest),
    }, cells


def nothing_happens_without_pulses(device: Any) -> None:
    """If x, d or the learning rate is 0; clocks advance."""
    (cells, state), (x, d) = made(device), signal()
    for p in (FAST, SEQUENTIAL):
        for x_, d_, lr in ((x, 0 * d, 0.1), (0 * x, d, 0.1), (x, d, 0.0)):
            after = update(device, p, cells, state, x_, d_, jnp.float32(lr), random.key(4))
            if hasattr(state, "clock"):
                after = replace(after, clock=state.clock)
            assert_same_bits(after, state)


def jit_changes_nothing(device: Any) -> None:
    """Except for the rounding of a few consecutive fused multiply-adds."""
    eager = life(device, *made(device), *signal(), jnp.float32(_RATE), random.key(7))
    jax.tree.map(lambda a, b: assert_close(a, b, factor=4), eager, _lived(device))


def chips_in_one_call_are_the_chips_one_by_one(device: Any) -> None:
    """`jax.vmap` over chips is a loop."""
    keys, (x, d) = jax.random.split(random.key(8), 3), signal()
    cells, states = jax.vmap(lambda key: _make(device, key, jnp.full((O, I), 0.05)))(keys)

    def run(cells: Any, state: Any, key: Key) -> Any:
        return life(device, cells, state, x, d, jnp.float32(_RATE), key)

    together = jax.jit(jax.vmap(run))(cells, states, keys)
    for chip in range(3):
        own = jax.tree.map(lambda leaf, chip=chip: leaf[chip], (cells, states))
        alone = _life(device, *own, x, d, jnp.float32(_RATE), keys[chip])
        jax.tree.map(lambda a, b, chip=chip: assert_close(a[chip], b, factor=4), together, alone)


def two_processors_compute_what_one_computes(device: Any) -> None:
    """A chip whose rows lie on two processors; passes where there is only one."""
    if len(jax.devices()) < 2:
        return
    mesh = Mesh(np.array(jax.devices()[:2]), ("rows",))

    def place(leaf: Array) -> Array:
        spec = PartitionSpec("rows") if leaf.ndim == 2 else PartitionSpec()
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    spread = _life(device, *jax.tree.map(place, made(device)), *signal(), jnp.float32(_RATE), random.key(7))
    assert len(spread.w.sharding.device_set) == 2, "the weights were gathered on one processor"
    jax.tree.map(lambda a, b: assert_close(a, b, factor=4), spread, _lived(device))


def it_is_traced_once_whatever_the_values(device: Any) -> None:
    """Equal devices share a compilation."""
    traces, (cells, state), (x, d) = [], made(device), signal()

    @jax.jit
    def run(device: Any, cells: Any, state: Any, lr: Array, key: Key) -> Any:
        traces.append(1)
        return jax.eval_shape(life, device, cells, state, x, d, lr, key) and state

    for seed in range(3):
        run(device, cells, state, jnp.float32(seed), random.key(seed))
        run(replace(device), cells, state, jnp.float32(seed), random.key(seed))
    assert len(traces) == 1, f"traced {len(traces)} times"


def another_key_is_another_chip_and_another_update(device: Any) -> None:
    """The same key is the same result. Another one differs, so the device needs variation between crosspoints (such as
    `dw_min_dtod`); only `Ideal` and `FloatingPoint` may have none.
    """
    (cells, state), (x, d) = made(device), signal()
    one, same, other = (
        update(device, FAST, cells, state, x, d, jnp.float32(0.1), random.key(seed)) for seed in (7, 7, 8)
    )
    assert_same_bits(one, same)
    exact = isinstance(device, (Ideal, FloatingPoint))
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    equal = all(np.array_equal(a, b) for a, b in leaves)
    assert equal == exact, f"update returns {'the same' if equal else 'another'} state for another key"
    first, second = (jax.tree.leaves(_make(device, random.key(seed), state.w)[0]) for seed in (1, 2))
    assert any(np.any(a != b) for a, b in zip(first, second, strict=True)) or exact, (
        "fabricate returns the same constants for another key: it ignores its key, or the device to be tested has no "
        "variation; give it some, such as dw_min_dtod=0.3"
    )


def any_typed_key_will_do(device: Any) -> None:
    """Not only those of analogjax."""
    k_cells, k_write = jax.random.split(jax.random.key(1))
    cells = device.fabricate((O, I), jnp.dtype("float32"), k_cells)  # once: compiling it takes longer than it does
    state = device.write(cells, jnp.full((O, I), 0.05), k_write)
    after = _life(device, cells, state, *signal(), jnp.float32(_RATE), jax.random.key(2))
    assert np.isfinite(after.w).all(), "a weight is not finite after an update with a key of jax.random.key"
    leaves = zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True)
    assert any(np.any(a != b) for a, b in leaves), "an update with a key of jax.random.key changed nothing"


def a_traced_number_means_the_same_as_a_plain_one(device: Any) -> None:
    """An array in a field sweeps it; its 0 must switch off what the number 0 switches off.

    The constructor refuses arrays for fields that must be plain numbers. `lifetime` is swept apart from all others.
    """
    w, plain = jnp.full((O, I), 0.05), None
    numbers = {f.name: getattr(device, f.name) for f in fields(device) if type(getattr(device, f.name)) is float}
    for only in (True, False):
        chosen = {name: jnp.float32(value) for name, value in numbers.items() if (name == "lifetime") == only}
        if not chosen:
            continue
        swept = replace(device, **chosen)
        lost = [name for name in chosen if is_static(getattr(swept, name))]
        assert not lost, f"an array given for {', '.join(lost)} is no array in the device"
        if plain is None:
            plain = _one_life(device, w)
        assert_close(_one_life(swept, w), plain, factor=4)


def _one_life(device: Any, w: Array) -> Array:
    cells, state = _make(device, random.key(1), w)
    return _life(device, cells, state, *signal(), jnp.float32(_RATE), random.key(7)).w


CHEAP = (
    it_is_a_device,
    shapes_dtypes_and_structure_never_change,
    it_is_traced_once_whatever_the_values,
    another_key_is_another_chip_and_another_update,
)
COSTLY = (
    jit_changes_nothing,
    chips_in_one_call_are_the_chips_one_by_one,
    two_processors_compute_what_one_computes,
    any_typed_key_will_do,
)
OF_SINGLE = (a_traced_number_means_the_same_as_a_plain_one,)
OF_UNSCHEDULED = (nothing_happens_without_pulses,)  # a transfer continues with the content of its arrays
