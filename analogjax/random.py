r"""A fast counter-based random generator, registered with JAX, and the random draws used by the physics.

`key(seed)` gives an ordinary typed JAX key whose bits come from a 32-bit hash of a counter:

    a(i) = mix(i * 0x9E3779B9 + k0),    bits(i) = mix(a(i) ^ k1) + a(i),    i = 0, 1, 2, ...

where `mix` is a full-avalanche 32-bit finaliser (xor-shift, multiply, xor-shift, multiply, xor-shift) and
`(k0, k1)` is the key. Unlike threefry, it vectorises and fuses with the code that consumes it, and is several times
faster on two CPU cores. Every function of the library takes any typed key, so `jax.random.key(seed)` (threefry) works
as well. It is not cryptographic. Draws depend only on the key and the position, not on sharding, batch splitting or
platform. One call yields at most 2^32 words.

References: Salmon et al. 2011, doi:10.1145/2063384.2063405 (counter-based generators); the multipliers of `mix` are
those of C. Wellons' hash prospector ("lowbias32"); Giles 2010, "Approximating the erfinv function" (the normal).
"""

import importlib
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import random as jex_random

from analogjax._typing import Array, DType, Key, Shape
from analogjax.errors import ConfigError, ShapeError

_WEYL = np.uint32(0x9E3779B9)
_SPLIT = np.uint32(0x3C6EF372)
_FOLD = np.uint32(0xDAA66D2B)


def _mix(x: Array) -> Array:
    """Bijective 32-bit finaliser with an avalanche bias below 0.2 %."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _seed(seed: Array) -> Array:
    low = jnp.asarray(seed).astype(jnp.uint32)
    # x64 off leaves 32 bits; the two halves must differ even so
    high = (jnp.asarray(seed) >> 32).astype(jnp.uint32) if jnp.asarray(seed).dtype.itemsize == 8 else np.uint32(0)
    k0 = _mix(low + _WEYL)
    k1 = _mix(k0 ^ (high + _SPLIT))
    return jnp.stack([_mix(k0 + k1), k1])


def _child(key: Array, n: Array, tag: np.uint32) -> tuple[Array, Array]:
    """Key number `n` (any shape) of `key`, for one of the two ways of deriving keys."""
    a = _mix(n * _WEYL + key[0] + tag)
    b = _mix((a ^ key[1]) + tag)
    return _mix(a + b), _mix(b ^ _mix(a + key[1]))


def _split(key: Array, shape: Shape) -> Array:
    n = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _settled(jnp.stack(_child(key, n, _SPLIT), axis=-1))


def _fold_in(key: Array, data: Array) -> Array:
    return _settled(jnp.stack(_child(key, jnp.asarray(data).astype(jnp.uint32), _FOLD)))


def _settled(key: Array) -> Array:
    # a chain of derived keys must not fuse: every xor-shift uses its input twice, and XLA would unfold the chain into
    # exponentially many instructions (minutes of compile time)
    return jax.lax.optimization_barrier(key)


def _words(key: Array, shape: Shape) -> Array:
    size = math.prod(shape)
    # the size of an export with a symbolic batch is no number
    if isinstance(size, int) and size > 2**32:
        raise ShapeError(f"one key yields at most 2^32 random words, {size} were asked for (shape {shape}); split it.")
    counter = jax.lax.iota(jnp.uint32, size).reshape(shape)
    a = _mix(counter * _WEYL + key[0])
    return _mix(a ^ key[1]) + a


def _random_bits(key: Array, bit_width: int, shape: Shape) -> Array:
    if bit_width == 64:
        words = _words(key, (*shape, 2)).astype(jnp.uint64)
        return (words[..., 0] << np.uint64(32)) | words[..., 1]
    words = _words(key, shape)
    if bit_width == 32:
        return words
    return (words >> np.uint32(32 - bit_width)).astype(jnp.dtype(f"uint{bit_width}"))


# compiled one by one, so that a program that draws a hundred times traces and lowers each of them once
FAST = jex_random.define_prng_impl(
    key_shape=(2,),
    seed=jax.jit(_seed),
    split=jax.jit(_split, static_argnums=1),
    random_bits=jax.jit(_random_bits, static_argnums=(1, 2)),
    fold_in=jax.jit(_fold_in),
    name="analogjax",
    tag="ajx",
)
"""The generator, for `jax.random.key(seed, impl=FAST)`; also under the name `"analogjax"`."""


def _register_name() -> None:
    """Register the generator by name too, since orbax stores that name with the keys it saves.

    JAX has no public way to do so. Where the private one is missing, keys can still be saved by `analogjax.store`, by
    the flax savers, and as `jax.random.key_data`.
    """
    for place in ("jax._src.prng", "jax._src.random.prng"):  # the latter since jax 0.12
        try:
            prngs = importlib.import_module(place).prngs
        except (ImportError, AttributeError):
            continue
        prngs.setdefault("analogjax", getattr(FAST, "_impl"))  # noqa: B009 - declared as a mere Hashable


_register_name()


def key(seed: int) -> Key:
    """Make a typed key of the fast generator, for use wherever `jax.random.key(seed)` can be used."""
    return jax.random.key(seed, impl=FAST)


def check_key(key: Key, where: str) -> None:
    """Raise `ConfigError` unless this is a key (a seed is not); `where` names the function that received it."""
    if not hasattr(key, "dtype"):
        raise ConfigError(f"{where}(key={key!r}): needs a key; make one of a seed with analogjax.random.key({key!r}).")


@partial(jax.jit, static_argnums=1)
def uniform(key: Key, shape: Shape = ()) -> Array:
    """Uniform in `[0, 1)`, float32 on a grid of 2^-24. Consumes `key`."""
    words = jax.random.bits(key, shape, jnp.uint32)
    # through int32: CPUs convert signed integers to float in one instruction, unsigned ones in many
    return (words >> np.uint32(8)).astype(jnp.int32).astype(jnp.float32) * np.float32(2**-24)


def bernoulli(key: Key, p: Array, shape: Shape) -> Array:
    """True with probability `p` (clipped to [0, 1], resolved to 2^-24), drawn for `shape`. Consumes `key`."""
    return uniform(key, shape) < p


_CENTRE: tuple[float, ...] = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
)
_CENTRE += (-0.00417768164, 0.246640727, 1.50140941)
_TAIL: tuple[float, ...] = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
)
_TAIL += (0.00943887047, 1.00167406, 2.83297682)


@partial(jax.jit, static_argnums=(1, 2))
def normal(key: Key, shape: Shape = (), dtype: DType = jnp.float32) -> Array:
    """Standard normal by inversion of a 24-bit uniform (so |z| < 5.42). Consumes `key`.

    Twice as fast on CPU as `jax.random.normal`, which has finer tails; uses Giles' single-precision polynomials
    directly. float64 is passed on to `jax.random.normal`.
    """
    if jnp.dtype(dtype) == jnp.float64:
        return jax.random.normal(key, shape, dtype)
    u = uniform(key, shape)
    x = 2 * u - np.float32(1 - 2**-24)  # odd multiples of 2^-24: symmetric, never 0 or 1
    w = -jnp.log((1 - x) * (1 + x))
    z = jnp.where(w < 5, _polynomial(_CENTRE, w - 2.5), _polynomial(_TAIL, jnp.sqrt(w) - 3)) * x
    return (np.float32(math.sqrt(2)) * z).astype(dtype)


def _polynomial(coefficients: tuple[float, ...], t: Array) -> Array:
    value = jnp.full_like(t, coefficients[0])
    for c in coefficients[1:]:
        value = value * t + np.float32(c)
    return value
