"""Promises of every noise model of inference."""

from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import random
from analogjax._typing import Array, Key, Scalar
from analogjax.physics import NoiseModel
from analogjax.testing.closeness import assert_close, assert_same_bits
from analogjax.testing.promise import assert_follows

SHAPE = (4, 6)


def _weights() -> Array:
    return jnp.linspace(-1.0, 1.0, 24, dtype=jnp.float32).reshape(SHAPE)


def _times(model: Any) -> tuple[float, ...]:
    """At once, after a second, and after ten years; of a model that knows only some times, those."""
    return getattr(model, "known_times", None) or (0.0, 1.0, 3e8)


def _later(model: Any) -> float:
    known = getattr(model, "known_times", None)
    return 60.0 if known is None else known[-1]


def _seen(model: Any, w: Array, t: Scalar, key: Key) -> tuple[Any, Array]:
    k_program, k_drift = jax.random.split(key)
    programmed = model.program(w, k_program)
    return programmed, model.drift(programmed, t, k_drift)


_compiled = jax.jit(_seen)


def it_is_a_noise_model(model: Any) -> None:
    """All methods exist."""
    assert_follows(model, NoiseModel)


def shapes_and_dtypes_are_those_of_the_weights(model: Any) -> None:
    """In float32 and bfloat16; what is remembered is one number for each conductance."""
    for dtype in ("float32", "bfloat16"):
        weights = _weights().astype(dtype)
        programmed, w = jax.eval_shape(lambda w, key: _seen(model, w, _later(model), key), weights, random.key(0))
        for what, made in (("drift", w), ("program", programmed.w)):
            found = (made.shape, made.dtype)
            assert found == (SHAPE, jnp.dtype(dtype)), f"{what} turns weights {SHAPE} of {dtype} into {found}"
        for leaf in jax.tree.leaves(programmed.memory):
            assert leaf.shape[-2:] == SHAPE, f"memory is {leaf.shape}; needs one number for each conductance, {SHAPE}"


def weights_stay_finite_at_every_time(model: Any) -> None:
    """At once, after ten years, and of a matrix of zeros."""
    for w in (_weights(), jnp.zeros(SHAPE)):
        for t in _times(model):
            programmed, seen = _compiled(model, w, jnp.float32(t), random.key(0))
            finite = np.all(np.isfinite(programmed.w)) and np.all(np.isfinite(seen))
            assert finite, f"a weight is not finite {t:g} s after programming"


def one_key_is_one_chip(model: Any) -> None:
    """Same key, same bits. Another key is another chip, so the model needs noise of programming, reading or drift."""
    one, same, other = (_compiled(model, _weights(), jnp.float32(_later(model)), random.key(n)) for n in (1, 1, 2))
    assert_same_bits(one, same)
    equal = all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
    assert not equal, (
        "two keys make the same chip: the model ignores its key, or the one to be tested has no noise; give it some, "
        "such as prog_noise_scale=1.0"
    )


def time_is_no_trajectory(model: Any) -> None:
    """A read depends only on the programmed state, the time and the key, not on earlier reads."""
    programmed, _ = _compiled(model, _weights(), jnp.float32(_later(model)), random.key(3))
    drift = jax.jit(model.drift)
    early, late = jnp.float32(_times(model)[1]), jnp.float32(_times(model)[-1])
    first = drift(programmed, early, random.key(4))
    drift(programmed, late, random.key(5))
    assert_same_bits(drift(programmed, early, random.key(4)), first)


def chips_in_one_call_are_the_chips_one_by_one(model: Any) -> None:
    """`jax.vmap` over keys is a loop."""
    keys = jax.random.split(random.key(5), 3)
    together = jax.vmap(lambda key: _compiled(model, _weights(), jnp.float32(_later(model)), key)[1])(keys)
    for n in range(3):
        assert_close(together[n], _compiled(model, _weights(), jnp.float32(_later(model)), keys[n])[1], factor=4)


def a_traced_number_means_the_same_as_a_plain_one(model: Any) -> None:
    """An array in a field sweeps it."""
    numbers = {f.name: getattr(model, f.name) for f in fields(model) if type(getattr(model, f.name)) is float}
    swept = replace(model, **{name: jnp.float32(value) for name, value in numbers.items()})
    plain, traced = (_compiled(one, _weights(), jnp.float32(_later(model)), random.key(6))[1] for one in (model, swept))
    assert_close(traced, plain, factor=4)


PROMISES = (
    it_is_a_noise_model,
    shapes_and_dtypes_are_those_of_the_weights,
    weights_stay_finite_at_every_time,
    one_key_is_one_chip,
    time_is_no_trajectory,
    chips_in_one_call_are_the_chips_one_by_one,
    a_traced_number_means_the_same_as_a_plain_one,
)
