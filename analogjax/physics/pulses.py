r"""From inputs, errors and a learning rate to pulse coincidences at each crosspoint.

Stochastic compressed pulsing: every input line `j` and every output line `i` fires in each of `BL` time slots with

    p_j = |x_j| B,   p_i = |d_i| A,   A B = eta / (dw_min BL),

independently; the device at `(i, j)` is pulsed where both fire, DOWN if `x_j d_i > 0`, else UP. So the expected number
of pulses is `eta |x_j d_i| / dw_min`, and the weight follows `-eta d x^T` on average. Update management balances the
two lines (the largest |x| and the largest |d| fire equally often); update-bl management shortens the train to
`BL = ceil(eta max|x| max|d| / dw_min)`, at most `desired_bl`.

How it is computed: 32 (sample, slot) pairs are packed into one 32-bit word per line, so that one AND and one population
count serve all of them. Only pairs that there are take part, however unequal the lengths of the trains (most are one or
two slots long once a network starts to learn), and probabilities keep the full 24 bits of the generator. The bits of
sample `b` in slot `t` depend on the key, `t` and `b` alone, so packed and sequential evaluation see the same pulses.

Other pulse types: STOCHASTIC draws the pulses of positive and negative x apart, which changes no statistic and is done
as above; MEAN_COUNT and DETERMINISTIC_IMPLICIT compute the number of coincidences (see `computed_pulses`); NONE adds
the outer product in floating point, and NONE_WITH_DEVICE clips to the bounds after that of each sample.

Letters: `B` batch, `O` rows, `I` columns, `BL` train length, `eta` learning rate (not negative), `g` = `dw_min`.
Reference: Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333; Gokmen, Onen & Haensch 2017,
doi:10.3389/fnins.2017.00538 (managements).
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax._varying import varying_like
from analogjax.physics.checks import as_choice, check, check_number
from analogjax.physics.converters import quantise
from analogjax.random import uniform

S = TypeVar("S")  # whatever the pulses move


_LANES = 1024  # pairs of a sample and a slot that are drawn at once, at most
_OF_ONE = 8  # pairs that are drawn at once of a single sample
_COMPARED = 1 << 16  # comparisons up to which looking a pair up is done by comparing with all samples
_UNROLLED = 8  # words that are counted without a loop
_AT_ONCE = 1 << 22  # words times crosspoints that are counted in one array: convolutions have many words on few devices


class PulseType(StrEnum):
    """How the outer product of x and d is applied to the devices."""

    NONE = "None"
    STOCHASTIC_COMPRESSED = "StochasticCompressed"
    STOCHASTIC = "Stochastic"
    NONE_WITH_DEVICE = "NoneWithDevice"
    MEAN_COUNT = "MeanCount"
    DETERMINISTIC_IMPLICIT = "DeterministicImplicit"

    @property
    def pulsed(self) -> bool:
        """Whether devices see pulses; otherwise their weights are set."""
        return self not in (PulseType.NONE, PulseType.NONE_WITH_DEVICE)

    @property
    def counted(self) -> bool:
        """Whether the number of coincidences is computed instead of drawn."""
        return self in (PulseType.MEAN_COUNT, PulseType.DETERMINISTIC_IMPLICIT)


@pytree
class Pulses:
    """How an update is pulsed (aihwkit's `UpdateParameters`)."""

    desired_bl: int = 31  # pulse-train length; the longest one under update-bl management
    fixed_bl: bool = True  # keep the length; otherwise it grows when eta > desired_bl dw_min
    pulse_type: PulseType = PulseType.STOCHASTIC_COMPRESSED
    res: Scalar = 0.0  # resolution of the pulse probabilities [1]; 0: ideal
    sto_round: bool = False  # round the probabilities stochastically
    update_bl_management: bool = True  # shorten trains of small updates; switches update_management on
    update_management: bool = True  # balance the probabilities of the two lines
    um_grad_scale: Scalar = 1.0  # scale of max|d| inside the management [1]
    x_res_implicit: Scalar = 0.0  # resolution of x for DETERMINISTIC_IMPLICIT [1]; 0: ideal
    d_res_implicit: Scalar = 0.0  # resolution of d for DETERMINISTIC_IMPLICIT [1]; 0: ideal
    sequential: bool = False  # every pulse one after the other; otherwise counted, except for coarse devices

    @property
    def longest(self) -> int | None:
        """Slots of the longest train there can be; None: the learning rate decides."""
        return self.desired_bl if self.fixed_bl or self.update_bl_management else None

    def __post_init__(self) -> None:
        as_choice(self, "pulse_type", PulseType)
        check(self, isinstance(self.desired_bl, int) and self.desired_bl > 0, "desired_bl", "needs a whole number > 0.")
        check_number(self, "um_grad_scale", low=1e-30)
        check_number(self, "res", "x_res_implicit", "d_res_implicit")


@pytree
class Trains:
    """The pulse trains of a batch before they are drawn: probabilities, signs and lengths."""

    p_x: Array  # [B, I] firing probability of each input line per slot
    p_d: Array  # [B, O]
    minus_x: Array  # [B, I] bool, x < 0
    minus_d: Array  # [B, O] bool, d < 0
    length: Array  # [B] int32, slots used
    pulse_type: PulseType = PulseType.STOCHASTIC_COMPRESSED

    def only(self, chosen: Array) -> "Trains":
        """The same trains with all samples silenced but the `chosen` ones (`[B]` bool)."""
        return replace(self, length=jnp.where(chosen, self.length, 0))


def trains(p: Pulses, x: Array, d: Array, learning_rate: Scalar, granularity: Scalar, key: Key) -> Trains:
    """Probabilities, signs and lengths for inputs `x` `[B, I]` and errors `d` `[B, O]`. Consumes `key`.

    `key` is used only where `sto_round` rounds the probabilities.
    """
    length, a, b = managed_length(p, x, d, learning_rate, granularity)
    k_x, k_d = jax.random.split(key)
    p_x, p_d = _probability(p, jnp.abs(x) * b[:, None], k_x), _probability(p, jnp.abs(d) * a[:, None], k_d)
    if p.pulse_type is PulseType.DETERMINISTIC_IMPLICIT:
        p_x, p_d = _implicit(p, p_x, p.x_res_implicit, k_x), _implicit(p, p_d, p.d_res_implicit, k_d)
    return Trains(p_x=p_x, p_d=p_d, minus_x=x < 0, minus_d=d < 0, length=length, pulse_type=p.pulse_type)


def _implicit(p: Pulses, v: Array, res: Scalar, key: Key) -> Array:
    return jnp.clip(quantise(v, res, jax.random.fold_in(key, 1) if p.sto_round else None), 0.0, 1.0)


def _probability(p: Pulses, v: Array, key: Key) -> Array:
    # as in aihwkit, a resolution above 1 is a huge step here, not a number of steps
    return v if is_static(p.res) and p.res <= 0 else quantise(v, p.res, key if p.sto_round else None)


def managed_length(p: Pulses, x: Array, d: Array, learning_rate: Scalar, g: Scalar) -> tuple[Array, Array, Array]:
    """Train length `BL` `[B]` and the scales `A` (of d) and `B` (of x) `[B]` of each sample."""
    eta = jnp.asarray(learning_rate, x.dtype)
    top_x, top_d = jnp.max(jnp.abs(x), -1), jnp.max(jnp.abs(d), -1)
    length, wide = _plain_length(p, eta, g)
    length = jnp.full(top_x.shape, length, jnp.float32)
    x_val, d_val = top_x, p.um_grad_scale * top_d
    k = eta * x_val * d_val / g
    if p.update_bl_management:
        # ceil(0) would divide by zero below; such samples are silenced at the end
        length, wide = jnp.clip(jnp.ceil(k), 1, p.desired_bl), jnp.asarray(False)
    scale = jnp.where(wide, 1.0, jnp.sqrt(eta / (g * length)))
    quiet = (eta <= 0) | (top_x <= 0) | (top_d <= 0) | ~jnp.isfinite(k)
    if not (p.update_bl_management or p.update_management):
        return jnp.where(quiet, 0, length).astype(jnp.int32), scale, scale
    d_val = d_val * jnp.minimum(1.0, p.desired_bl / jnp.where(k > 0, k, 1.0))
    balance = jnp.sqrt(jnp.where(quiet, 1.0, x_val) / jnp.where(quiet, 1.0, d_val))
    return jnp.where(quiet, 0, length).astype(jnp.int32), scale * balance, scale / balance


def _plain_length(p: Pulses, eta: Array, g: Scalar) -> tuple[Array, Array]:
    """Length without update-bl management, and whether both lines simply fire with probability |x| and |d|."""
    if p.fixed_bl or p.update_bl_management:
        return jnp.asarray(p.desired_bl, jnp.float32), jnp.asarray(False)
    wide = g * p.desired_bl < eta
    return jnp.where(wide, jnp.maximum(jnp.ceil(eta / g), 1.0), p.desired_bl), wide


def _lanes(batch: int) -> int:
    """(sample, slot) pairs that are drawn in one pass: whole words; for a single sample less."""
    return _OF_ONE if batch == 1 else min(32 * -(-batch // 32), _LANES)


def _pairs(length: Array, lane: Array) -> tuple[Array, Array, Array]:
    """Sample and slot of the pairs number `lane` `[L]`, sample by sample, and which of them there are."""
    ends = jnp.cumsum(length)
    small = length.size * lane.size <= _COMPARED
    sample = jnp.searchsorted(ends, lane, side="right", method="compare_all" if small else "scan")
    sample = jnp.minimum(sample, length.size - 1)
    return sample, lane - (ends[sample] - length[sample]), lane < ends[-1]


def _line_keys(key: Key) -> tuple[Key, Key]:
    """Keys of the input and of the output lines: derived, since the devices of a unit cell all see the same trains."""
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
    """The part of `coincidences` that one sample has, for the same `key`, which is consumed."""
    if t.pulse_type.counted:
        number, down = computed_pulses(t, sample)
        return jnp.where(down, 0, number), jnp.where(down, number, 0)
    return coincidences(t.only(jnp.arange(t.length.size) == sample), key)


def _computed(t: Trains) -> tuple[Array, Array]:
    """`coincidences` where nothing is drawn: sums over the batch."""

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
    """Run `visit(state, sign, key) -> state` for every slot of every sample in order: the exact evaluation.

    `sign` `[O, I]` int8 is +1 (UP), -1 (DOWN) or 0 at each crosspoint. Same pulses as `coincidences` for the same
    `key`. With `most`, which no train may exceed, the loop has a reverse mode, and costs so many slots. Consumes `key`
    and `k_visit`.
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
    """`each_pulse` where nothing is drawn: the pulses of a crosspoint come first in the train, one in each slot."""

    def one_sample(state: S, sample: Array) -> tuple[S, None]:
        number, down = computed_pulses(t, sample)
        sign = jnp.where(down, -1, 1).astype(jnp.int8)

        def one_slot(slot: Array, state: S) -> S:
            own = jax.random.fold_in(jax.random.fold_in(k_visit, slot), sample)
            return visit(state, jnp.where(slot < number, sign, 0).astype(jnp.int8), own)

        return _slots(jnp.max(number), one_slot, state, most), None

    return lax.scan(one_sample, state, jnp.arange(t.p_x.shape[0]))[0]


def outer_product(x: Array, d: Array, learning_rate: Scalar) -> Array:
    """`eta sum_b d_b x_b^T` `[O, I]`, in full float32."""
    return learning_rate * jnp.einsum("bo,bi->oi", d, x, precision=lax.Precision.HIGHEST)
