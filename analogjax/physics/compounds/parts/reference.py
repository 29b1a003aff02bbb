r"""A measured reference: the running mean of the values read from an array is subtracted from what is read.

    mu <- (1 - beta) mu + beta v,    beta = min(tail_weightening / period, 1),    v <- v - mu_ref

`mu` tracks each device of the first array, `period` is that of the choppers, and `mu_ref` is `mu` as it was when the
sign of the line last flipped (with `at_flips`), or as it is. AGAD (Rasch, Carta, Fagbohungbe & Gokmen 2024,
doi:10.1038/s41467-024-51221-z) therefore needs no reference array. Letters: `O` rows, `I` columns, `L` lines.
"""

from dataclasses import replace

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check_flags, check_number
from analogjax.physics.compounds.parts.cell import digital
from analogjax.physics.compounds.parts.lines import put, take


@pytree(kw_only=False)
class MeanState:
    """Running mean and reference of each device."""

    mean: Array
    """Running mean `[O, I]` [w]."""
    past: Array
    """Reference that is subtracted `[O, I]` [w]."""
    switched: Array
    """Lines whose sign has flipped since they were last read `[L]` bool."""


@pytree
class RunningMean:
    """The running mean of the values read, used as a reference."""

    tail_weightening: Scalar = 5.0
    """Weight of the last passes of a period in the mean [1]."""
    experimental_correct_accumulation: bool = False
    """Divide what is read by the number of passes since the last regular flip."""
    at_flips: bool = True
    """The reference is the mean as it was when the sign of the line flipped last; otherwise the mean itself."""
    after_a_period: bool = True
    """Nothing is written before each sign had a whole period."""
    in_weight: bool = False
    """The first array counts in the visible weight by what it has beyond the reference."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "tail_weightening", low=0)

    def begin(self, w: Array, lines: int) -> MeanState:
        """Initial state, before any read."""
        return MeanState(digital(w.shape, w.dtype), digital(w.shape, w.dtype), jnp.zeros((lines,), bool))

    def measure(self, state: MeanState, line: Array, axis: int, v: Array, period: int) -> tuple[Array, MeanState]:
        """The values `v` of a line minus the reference, and the new state; `axis` counts the lines."""
        mean, past = (jnp.squeeze(take(held, line, axis), axis) for held in (state.mean, state.past))
        past = jnp.where(state.switched[line], mean, past) if self.at_flips else mean
        beta = jnp.minimum(self.tail_weightening / period, 1.0)
        means = put(state.mean, jnp.expand_dims((1 - beta) * mean + beta * v, axis), line, axis)
        pasts = put(state.past, jnp.expand_dims(past, axis), line, axis)
        return v - past, replace(state, mean=means, past=pasts)

    def due(self, passes: Array, period: int) -> tuple[Array | None, Array | None]:
        """For how many reads this one counts, and whether to write; None: one, and yes."""
        samples = passes % period + 1 if self.experimental_correct_accumulation else None
        return samples, (passes > period if self.after_a_period else None)

    def now(self, state: MeanState, axis: int) -> Array:
        """The reference `[O, I]` for the next read; `axis` counts the lines."""
        if not self.at_flips:
            return state.mean
        return jnp.where(jnp.expand_dims(state.switched, -3 - axis), state.mean, state.past)
