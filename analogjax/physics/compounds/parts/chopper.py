r"""Choppers: signs of the lines of an array, which flip from time to time.

Offsets of the devices thus average out. The first array receives the pulses of `c_x x` and `c_d d`, and values read
from it are multiplied by the same signs. Input choppers belong to the lines that are read (columns, or rows), output
choppers to the others. An input chopper may flip after its line was read, output choppers after the last line.

    `Chopper`          at random with `in_chop_prob`, or every `period` passes over the matrix
    `PeriodicChopper`  every `period` passes, and with `in_chop_random` also at random, as in aihwkit's AGAD

    period = max(ceil(1 / in_chop_prob), 2)

Reference: Rasch, Carta, Fagbohungbe & Gokmen 2024, doi:10.1038/s41467-024-51221-z.
"""

import math

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import MOST, check, check_flags, check_number


@pytree(kw_only=False)
class ChopperState:
    """Signs, +1 or -1, and the number of passes."""

    inside: Array
    """Signs of the lines that are read `[L]` int8."""
    outside: Array
    """Signs of the other lines `[N]` int8."""
    passes: Array
    """Complete passes over the matrix `[]` int32."""


@pytree
class Chopper:
    """Signs that flip at random or periodically."""

    in_chop_prob: Scalar = 0.1
    """Probability of a flip, or one over its period in passes [1]."""
    in_chop_random: bool = True
    """Flip at random, otherwise regularly."""
    out_chop_prob: Scalar = 0.0
    """Probability that a sign of the other lines flips after a pass [1]."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "in_chop_prob", "out_chop_prob", low=0, high=1)
        regular = self.in_chop_random or is_static(self.in_chop_prob)
        check(self, regular, "in_chop_prob", "is a period without in_chop_random: give a plain number.")

    @property
    def period(self) -> int:
        """Passes between two periodic flips."""
        return _period(self)

    def flips(self, passes: Array, key: Key) -> Array:
        """Whether the sign of the line that was read flips. Consumes `key`."""
        if self.in_chop_random:
            return jax.random.bernoulli(key, self.in_chop_prob)
        return (passes % self.period == self.period - 1) & (self.in_chop_prob > 0)


@pytree
class PeriodicChopper:
    """Signs that flip periodically, and optionally also at random."""

    in_chop_prob: float = 0.1
    """One over the period in passes; 0 counts as 1/2 [1]."""
    in_chop_random: bool = False
    """Flip at random besides, with `in_chop_prob`."""

    def __post_init__(self) -> None:
        check_flags(self)
        check(self, is_static(self.in_chop_prob), "in_chop_prob", "is a period: give a plain number.")
        check_number(self, "in_chop_prob", low=0, high=1)

    @property
    def period(self) -> int:
        """Passes between two periodic flips."""
        return _period(self)

    @property
    def out_chop_prob(self) -> float:
        """Always 0: a running mean can be measured only while the other signs stay constant."""
        return 0.0

    def flips(self, passes: Array, key: Key) -> Array:
        """Whether the sign of the line that was read flips. Consumes `key`."""
        regular = passes % self.period == self.period - 1
        return (regular | jax.random.bernoulli(key, self.in_chop_prob)) if self.in_chop_random else regular


def _period(chopper: Chopper | PeriodicChopper) -> int:
    return max(math.ceil(min(1 / chopper.in_chop_prob, MOST)), 2) if chopper.in_chop_prob > 0 else 2


def begin(lines: int, others: int) -> ChopperState:
    """All signs +1."""
    return ChopperState(jnp.ones((lines,), jnp.int8), jnp.ones((others,), jnp.int8), jnp.zeros((), jnp.int32))


def after_read(
    chopper: Chopper | PeriodicChopper, state: ChopperState, line: Array, k_in: Key, k_out: Key
) -> tuple[ChopperState, Array]:
    """The signs after line number `line` was read, and whether its own sign has flipped. Consumes both keys."""
    flips = chopper.flips(state.passes, k_in)
    inside = state.inside.at[line].multiply(jnp.where(flips, -1, 1).astype(jnp.int8))
    last, outside = line == inside.shape[0] - 1, state.outside
    if not is_static(chopper.out_chop_prob) or chopper.out_chop_prob > 0:
        hit = jax.random.bernoulli(k_out, chopper.out_chop_prob, outside.shape) & last
        outside = jnp.where(hit, -outside, outside).astype(jnp.int8)
    return ChopperState(inside, outside, state.passes + last), flips
