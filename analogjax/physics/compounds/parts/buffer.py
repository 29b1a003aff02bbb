r"""Digital buffers between two arrays of a transfer: values read are accumulated, and written in whole pulses.

    H <- H + g v,     n = trunc(H / theta),  |n| <= pulses of one train,     w_next += n step dw_min

    `WeightBuffer`, in units of the weight:  g = |lr_t|,       theta = thres_scale dw_min   (version 2 of Tiki-Taka)
    `StepBuffer`, in pulses:                 g = |lr_t| / u,   theta = 1                    (choppers, AGAD)

`lr_t` is the learning rate of the transfer, `dw_min` the step of the array that is written, and `u` is
`buffer_granularity` steps of the array that is read, times `auto_granularity` over the vectors of one pass. After a
write, `H <- momentum H`; in a buffer that does not forget, `H <- H - (1 - momentum) n theta`.

Letters: `O` rows, `I` columns. Reference: Gokmen 2021, doi:10.3389/frai.2021.699148 (version 2); Rasch, Carta,
Fagbohungbe & Gokmen 2024, doi:10.1038/s41467-024-51221-z.
"""

from typing import NamedTuple

import jax.numpy as jnp

from analogjax._field_docs import document_fields
from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_flags, check_number


@document_fields
class Transferred(NamedTuple):
    """Properties of the values of one line that was read."""

    rate: Scalar
    """Learning rate of the transfer."""
    fast_rate: Scalar
    """Learning rate of the pulses of the first array."""
    fast_step: Scalar
    """Granularity of the array that was read [w]."""
    slow_step: Scalar
    """Granularity of the array that is written [w]."""
    vectors: float
    """Lines times `transfer_every`, by which `auto_granularity` counts the vectors of one pass."""
    samples: Scalar | None
    """Reads over which the values were summed; None: they count as one."""


@pytree
class WeightBuffer:
    """A buffer in units of the weight."""

    thres_scale: Scalar = 1.0
    """Threshold in steps of the array that is written [1]."""
    step: Scalar = 1.0
    """Pulses for each whole number in the buffer [1]."""
    momentum: Scalar = 0.1
    """Share of the buffer that is kept when it is written [1]."""
    forget_buffer: bool = True
    """Keep `momentum` times all of it; otherwise what was not written, and `momentum` of what was."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "thres_scale", low=1e-30)
        check_number(self, "step", "momentum", low=0)

    def add(self, held: Array, v: Array, of: Transferred, most: int) -> tuple[Array, Array]:
        """Whole steps to write, at most `most`, and the new content of the buffer."""
        held, threshold = held + jnp.abs(of.rate) * v, self.thres_scale * of.slow_step
        n = jnp.clip(jnp.trunc(held / threshold), -most, most)
        return n, jnp.where(n != 0, _left(self, held, n * threshold), held)


@pytree
class StepBuffer:
    """A buffer in pulses."""

    buffer_granularity: Scalar = 1.0
    """Granularity of the buffer in steps of the array that is read [1]."""
    auto_granularity: Scalar = 0.0
    """Above 0: granularity times this, over the vectors of one pass [1]: as in aihwkit, lines times `transfer_every`,
    whatever `transfer_every_vec`, `units_in_mbatch` and `n_reads_per_transfer` say."""
    correct_gradient_magnitudes: bool = False
    """Divide the learning rate of the transfer by that of the first array."""
    no_buffer: bool = False
    """What a read gives is written or lost."""
    buffer_cap: Scalar = 0.0
    """Bound of a buffer that does not forget, in trains [1]; 0: none."""
    step: Scalar = 1.0
    """Pulses for each whole number in the buffer [1]."""
    momentum: Scalar = 0.0
    """Share of the buffer that is kept when it is written [1]."""
    forget_buffer: bool = True
    """Keep `momentum` times all of it; otherwise what was not written, and `momentum` of what was."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "buffer_granularity", low=1e-30)
        check_number(self, "auto_granularity", "buffer_cap", "step", "momentum", low=0)
        capped = not (self.forget_buffer and is_static(self.buffer_cap) and self.buffer_cap > 0)
        check(self, capped, "buffer_cap", "bounds a buffer that does not forget: give forget_buffer=False, or 0.")

    def add(self, held: Array, v: Array, of: Transferred, most: int) -> tuple[Array, Array]:
        """Whole steps to write, at most `most`, and the new content of the buffer."""
        held = (0.0 if self.no_buffer else held) + v * self._gain(of)
        n = jnp.where(jnp.abs(held) >= 1, jnp.clip(jnp.trunc(held), -most, most), 0.0)
        left = _left(self, held, n)
        if not self.forget_buffer:
            cap = jnp.asarray(self.buffer_cap * most)
            left = jnp.where(cap > 0, jnp.clip(left, -cap, cap), left)
        return n, jnp.where(n != 0, left, held)

    def _gain(self, of: Transferred) -> Scalar:
        unit = jnp.where(jnp.asarray(self.buffer_granularity) > 0, self.buffer_granularity, 1.0) * of.fast_step
        if not is_static(self.auto_granularity) or self.auto_granularity > 0:
            auto = jnp.asarray(self.auto_granularity)
            unit = unit * jnp.where(auto > 0, self.auto_granularity / of.vectors, 1.0)
        rate = jnp.abs(of.rate)
        if self.correct_gradient_magnitudes:
            rate = rate / jnp.where(jnp.asarray(of.fast_rate) > 0, of.fast_rate, 1.0)
            unit = unit * of.slow_step / of.fast_step
        gain = rate / unit
        return gain if of.samples is None else gain / jnp.minimum(of.samples, 1 / of.fast_step)


def _left(buffer: WeightBuffer | StepBuffer, held: Array, written: Array) -> Array:
    """The part of `held` that remains after `written` was written."""
    return buffer.momentum * held if buffer.forget_buffer else held - (1 - buffer.momentum) * written
