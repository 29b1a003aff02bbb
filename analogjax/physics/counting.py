r"""How often each crosspoint is pulsed: the coincidences of two pulse trains, counted at once or visited one by one.

For each line, 32 (sample, slot) pairs are packed into one 32-bit word, so that one AND and one population count process
all of them. Slots beyond the end of a train take no part, however unequal the lengths of the trains (most are one or
two slots long once a network starts to learn). Probabilities keep the full 24 bits of the generator. The bits of sample
`b` in slot `t` depend on the key, `t` and `b` alone, so packed and sequential evaluation see the same pulses.

Letters: `B` batch, `O` rows, `I` columns, `BL` train length, `L` pairs, `W` words, `N` lines.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array, Key
from analogjax._varying import varying_like
from analogjax.physics.pulses import PulseType
from analogjax.physics.trains import Trains
from analogjax.random import uniform

S = TypeVar("S")  # whatever the pulses move

_LANES = 1024  # pairs of a sample and a slot that are drawn at once, at most
_OF_ONE = 8  # pairs that are drawn at once of a single sample
_COMPARED = 1 << 16  # comparisons up to which looking a pair up is done by comparing with all samples
_UNROLLED = 8  # words that are counted without a loop
_AT_ONCE = 1 << 22  # words times crosspoints that are counted in one array: convolutions have many words on few devices


def _lanes(batch: int) -> int:
    """Number of (sample, slot) pairs drawn in one pass: whole words; fewer for a single sample."""
    return _OF_ONE if batch == 1 else min(32 * -(-batch // 32), _LANES)


def _pairs(length: Array, lane: Array) -> tuple[Array, Array, Array]:
    """Sample and slot of pairs number `lane` `[L]`, sample by sample, and which of them exist."""
    ends = jnp.cumsum(length)
    small = length.size * lane.size <= _COMPARED
    sample = jnp.searchsorted(ends, lane, side="right", method="compare_all" if small else "scan")
    sample = jnp.minimum(sample, length.size - 1)
    return sample, lane - (ends[sample] - length[sample]), lane < ends[-1]


def _line_keys(key: Key) -> tuple[Key, Key]:
    """Keys of the columns and of the rows: derived, because all devices of a unit cell receive the same trains."""
    return jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)


def _fires(key: Key, p: Array, slot: Array, sample: Array) -> Array:
    """Which lines fire, `[L, N]` bool, for `L` pairs (`slot`, `sample`) and probabilities `p` `[L, N]`."""

    def line(slot: Array, sample: Array, p: Array) -> Array:
        return uniform(jax.random.fold_in(jax.random.fold_in(key, slot), sample), p.shape) < p

    return jax.vmap(line)(slot, sample, p)


def pack(bits: Array) -> Array:
    """`[32 W, N]` bool to `[W, N]` words; less than a word to one."""
    size = min(32, bits.shape[0])
    lanes = bits.reshape(-1, size, bits.shape[-1]).astype(jnp.uint32)
    places = jnp.arange(size, dtype=jnp.uint32).reshape(1, size, 1)
    return jnp.sum(lanes << places, axis=1, dtype=jnp.uint32)


def coincidences(t: Trains, key: Key) -> tuple[Array, Array]:
    """Number of UP and of DOWN pulses at each crosspoint over the batch, `[O, I]` int32 each. Consumes `key`."""
    if t.pulse_type.counted:
        return _computed(t)
    size, (k_x, k_d) = _lanes(t.p_x.shape[0]), _line_keys(key)

    def one_pass(number: Array, counts: tuple[Array, Array]) -> tuple[Array, Array]:
        sample, slot, live = _pairs(t.length, number * size + jnp.arange(size))
        x = pack(_fires(k_x, t.p_x[sample], slot, sample) & live[:, None])
        d = pack(_fires(k_d, t.p_d[sample], slot, sample))
        return _count(x, d, pack(t.minus_x[sample]), pack(t.minus_d[sample]), counts)

    zero = jnp.zeros((t.p_d.shape[1], t.p_x.shape[1]), jnp.int32)
    start = varying_like((zero, zero), (t, key))
    total, up = lax.fori_loop(0, -(-jnp.sum(t.length) // size), one_pass, start)
    return up, total - up


def coincidences_of(t: Trains, sample: Array, key: Key) -> tuple[Array, Array]:
    """The contribution of one sample to `coincidences`, for the same `key`, which is consumed."""
    if t.pulse_type.counted:
        number, down = computed_pulses(t, sample)
        return jnp.where(down, 0, number), jnp.where(down, number, 0)
    return coincidences(t.only(jnp.arange(t.length.size) == sample), key)


def _computed(t: Trains) -> tuple[Array, Array]:
    """`coincidences` for pulse types that draw nothing: sums over the batch."""

    def one(counts: tuple[Array, Array], sample: Array) -> tuple[tuple[Array, Array], None]:
        number, down = computed_pulses(t, sample)
        return (counts[0] + jnp.where(down, 0, number), counts[1] + jnp.where(down, number, 0)), None

    zero = jnp.zeros((t.p_d.shape[1], t.p_x.shape[1]), jnp.int32)
    return lax.scan(one, varying_like((zero, zero), t), jnp.arange(t.p_x.shape[0]))[0]


def computed_pulses(t: Trains, sample: Array) -> tuple[Array, Array]:
    """How often each crosspoint is pulsed by one sample, `[O, I]` int32, and whether DOWN.

    MEAN_COUNT: `round(n_d n_x / BL)` with `n = round(BL p)`, at most BL; DETERMINISTIC_IMPLICIT: `round(BL p_d p_x)`;
    half to even.
    """
    length = t.length[sample].astype(t.p_x.dtype)
    p_x, p_d = t.p_x[sample], t.p_d[sample]
    if t.pulse_type is PulseType.MEAN_COUNT:
        p_x, p_d = (jnp.minimum(jnp.round(length * p), length) / jnp.maximum(length, 1.0) for p in (p_x, p_d))
    number = jnp.round(length * p_d[:, None] * p_x[None, :]).astype(jnp.int32)
    return number, t.minus_d[sample][:, None] == t.minus_x[sample][None, :]


def _count(x: Array, d: Array, minus_x: Array, minus_d: Array, counts: tuple) -> tuple[Array, Array]:
    """Add the coincidences of `[W, I]` and `[W, O]` words: all of them, and those that pulse UP."""
    words, cells = x.shape[0], x.shape[1] * d.shape[1]
    if words > _UNROLLED and words * cells <= _AT_ONCE:
        total, up = _of_word(x[:, None, :], d[:, :, None], minus_x[:, None, :], minus_d[:, :, None])
        return counts[0] + jnp.sum(total, 0), counts[1] + jnp.sum(up, 0)

    def add(counts: tuple[Array, Array], word: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
        x, d, minus_x, minus_d = word
        total, up = _of_word(x[None, :], d[:, None], minus_x[None, :], minus_d[:, None])
        return (counts[0] + total, counts[1] + up), None

    return lax.scan(add, counts, (x, d, minus_x, minus_d), unroll=min(words, _UNROLLED))[0]


def _of_word(x: Array, d: Array, minus_x: Array, minus_d: Array) -> tuple[Array, Array]:
    both = x & d
    opposite = both & (minus_x ^ minus_d)
    return lax.population_count(both).astype(jnp.int32), lax.population_count(opposite).astype(jnp.int32)


def each_pulse(
    t: Trains, key: Key, visit: Callable[[S, Array, Key], S], state: S, k_visit: Key, most: int | None = None
) -> S:
    """Call `visit(state, sign, key) -> state` for every slot of every sample in order: the exact evaluation.

    `sign` `[O, I]` int8 is +1 (UP), -1 (DOWN) or 0 at each crosspoint. The pulses are those of `coincidences` for the
    same `key`. With `most`, an upper limit of the train lengths, the loop has a reverse-mode derivative and always runs
    through that many slots. Consumes `key` and `k_visit`.
    """
    if t.pulse_type.counted:
        return _each_computed(t, visit, state, k_visit, most)
    k_x, k_d = _line_keys(key)

    def one_sample(state: S, sample: Array) -> tuple[S, None]:
        p_x, p_d = t.p_x[sample][None], t.p_d[sample][None]
        sign_x, sign_d = jnp.where(t.minus_x[sample], -1, 1), jnp.where(t.minus_d[sample], -1, 1)

        def one_slot(slot: Array, state: S) -> S:
            x = jnp.where(_fires(k_x, p_x, slot[None], sample[None])[0], sign_x, 0)
            d = jnp.where(_fires(k_d, p_d, slot[None], sample[None])[0], sign_d, 0)
            sign = -(d[:, None] * x[None, :]).astype(jnp.int8)
            return visit(state, sign, jax.random.fold_in(jax.random.fold_in(k_visit, slot), sample))

        return _slots(t.length[sample], one_slot, state, most), None

    return lax.scan(one_sample, state, jnp.arange(t.p_x.shape[0]))[0]


def _slots(number: Array, one_slot: Callable[[Array, S], S], state: S, most: int | None) -> S:
    """`one_slot` for the first `number` slots, of at most `most`."""
    if most is None:
        return lax.fori_loop(0, number, one_slot, state)

    def live(slot: Array, state: S) -> S:
        return lax.cond(slot < number, lambda state: one_slot(slot, state), lambda state: state, state)

    return lax.fori_loop(0, most, live, state)


def _each_computed(
    t: Trains, visit: Callable[[S, Array, Key], S], state: S, k_visit: Key, most: int | None = None
) -> S:
    """`each_pulse` for pulse types that draw nothing: the pulses of a crosspoint fill the first slots of the train."""

    def one_sample(state: S, sample: Array) -> tuple[S, None]:
        number, down = computed_pulses(t, sample)
        sign = jnp.where(down, -1, 1).astype(jnp.int8)

        def one_slot(slot: Array, state: S) -> S:
            own = jax.random.fold_in(jax.random.fold_in(k_visit, slot), sample)
            return visit(state, jnp.where(slot < number, sign, 0).astype(jnp.int8), own)

        return _slots(jnp.max(number), one_slot, state, most), None

    return lax.scan(one_sample, state, jnp.arange(t.p_x.shape[0]))[0]
