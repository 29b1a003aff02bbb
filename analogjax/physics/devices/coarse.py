r"""Which devices are too coarse for counted evaluation, by their parameters alone.

Counted evaluation applies the pulses of a batch in no order and clips where they end. The error grows with the part of
its range that a device crosses in a batch, so it is bounded by the number of its larger pulses that span the range:

    n = (w_max - w_min) / (dw_min f g (1 + c))

with the gain `g` = exp(dw_min_dtod) (log-normal) or 1 + dw_min_dtod of devices one standard deviation above the mean,
plus up_down_dtod.
`F` is the largest mean step between the bounds relative to `dw_min`. Constant and affine steps have `f` = max(F / 2, 1)
(soft bounds that lie symmetrically double their step) and `c` = dw_min_std. Other devices follow their noise and their
bounds (`devices/leap.py`), so that only the order of the pulses is lost: `f` = F and `c` = 0. Where all pulses have one
direction, as in a `OneSided` pair, these are exact.

A device with `n < SPAN`, or `n < SPAN_OF_LEAPS`, is coarse: it receives every pulse of every sample in order, as with
`Pulses(sequential=True)` and with the same bits. Measured (32 chips of 40 x 50, range 2, `g` = 1.35; four batches of 20
samples with 25 pulses each on average, of both directions): the error of the mean or the standard deviation of the
weights when counted, whichever is larger, in standard errors; coarse devices in brackets.

| states (range over dw_min)   | 4     | 10    | 20    | 40    | 100   | 200   | 400   | 1000 |
|------------------------------|-------|-------|-------|-------|-------|-------|-------|------|
| ConstantStep, noise 0.1      | (36)  | (25)  | (20)  | (8.0) | (1.3) | 0.3   | 0.0   | 0.0  |
| ConstantStep, noise 1        | (37)  | (32)  | (24)  | (10)  | (3.3) | (0.7) | 0.2   | 0.3  |
| ConstantStep, noise 4        | (76)  | (63)  | (51)  | (53)  | (41)  | (15)  | (2.1) | 2.2  |
| LinearStep, noise 0.1        | (45)  | (28)  | (14)  | (5.0) | (0.6) | 0.3   | 0.1   | 0.1  |
| LinearStep, noise 4          | (21)  | (26)  | (24)  | (27)  | (22)  | (8.4) | (1.3) | 0.7  |
| SoftBoundsReference, 0.1     | (54)  | (42)  | (28)  | (14)  | (3.7) | 1.3   | 0.5   | 0.1  |
| SoftBoundsReference, 4       | (38)  | (25)  | (25)  | (16)  | (8.4) | (2.1) | (0.7) | 0.8  |
| ExpStep, noise 0.1           | (21)  | (17)  | (11)  | (4.6) | 0.5   | 0.1   | 0.0   | 0.0  |
| ExpStep, noise 4             | (3.9) | (5.5) | (4.4) | (1.5) | 2.5   | 2.4   | 1.6   | 0.8  |
| PowStep, noise 0.1           | (23)  | (15)  | (6.9) | (1.8) | 0.2   | 0.0   | 0.0   | 0.0  |
| PiecewiseStep, noise 0.1     |       |       | (13)  | (4.2) | 0.7   | 0.3   | 0.1   | 0.1  |
"""

from dataclasses import fields
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax._pytree import is_static
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.device import AnyCells, AnyState
from analogjax.physics.pulses import Pulses
from analogjax.physics.trains import Trains

SPAN = 100  # pulses that span the range of a device that is counted in closed form, at least
SPAN_OF_LEAPS = 50  # and of one that is counted in leaps, which clip what they must
_NEVER_PULSED = ("corrupt", "diffusion", "lifetime", "reset", "drift", "write_noise", "reference", "n_estimation")
_LARGEST, LEAST = 60.0, 1e-30  # keep what is only compared from overflowing


def numbers_for(device: Any) -> Any:
    """`numpy` if all parameters that pulses depend on are plain numbers, so that `if` can be used; else `jax.numpy`."""
    names = [field.name for field in fields(device) if not field.name.startswith(_NEVER_PULSED)]
    return np if all(is_static(getattr(device, name)) for name in names) else jnp


def is_coarse(device: Any, span: float, largest: Scalar, noise: Scalar = 0.0) -> bool | Array:
    """Whether `n < span`: a plain bool if the parameters are plain numbers, else a traced one.

    `largest` is `f` [1], `noise` is `c` [1].
    """
    xp, spread = numbers_for(device), abs(device.dw_min_dtod)
    gain = xp.exp(xp.minimum(spread, _LARGEST)) if device.dw_min_dtod_log_normal else 1 + spread
    gain = gain + abs(device.up_down_dtod)
    step = device.dw_min * xp.maximum(largest, LEAST) * gain * (1 + noise)
    few = device.w_max - device.w_min < span * step
    return bool(few) if xp is np else jnp.asarray(few)


class Answering(Protocol):
    """Protocol: anything that can respond to pulse trains in both ways."""

    def exactly(
        self, cells: AnyCells, state: AnyState, trains: Trains, k_draw: Key, k_noise: Key, most: int | None = None
    ) -> AnyState:
        """Pulse by pulse, in order; `most` as in `each_pulse`. Consumes both keys."""
        ...

    def counted(self, cells: AnyCells, state: AnyState, trains: Trains, k_draw: Key, k_noise: Key) -> AnyState:
        """All pulses at once. Consumes both keys."""
        ...


def answer(
    coarse: bool | Array, who: Answering, p: Pulses, cells: AnyCells, state: AnyState, t: Trains, k_draw: Key,
    k_noise: Key,
) -> AnyState:  # fmt: skip
    """The state after the trains: pulse by pulse if `coarse`, else counted. Consumes both keys.

    If the decision is known only at run time, both ways are compiled and the wrong one gets no pulses, which costs
    almost nothing, also under `jax.vmap` over devices.
    """
    if isinstance(coarse, bool):
        return (who.exactly if coarse else who.counted)(cells, state, t, k_draw, k_noise)
    given = who, cells, state, t.only(coarse), jax.random.clone(k_draw), jax.random.clone(k_noise)
    state = lax.cond(coarse, lambda: _exactly(p.longest, *given), lambda: state)
    return who.counted(cells, state, t.only(~coarse), k_draw, k_noise)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _exactly(
    most: int | None, who: Answering, cells: AnyCells, state: AnyState, t: Trains, k_draw: Key, k_noise: Key
) -> AnyState:
    return who.exactly(cells, state, t, k_draw, k_noise)


@_exactly.defjvp
def _exactly_jvp(most: int | None, primals: tuple, tangents: tuple) -> tuple[AnyState, AnyState]:
    """A loop of unknown length has no reverse-mode derivative: differentiate one over all slots instead."""

    def bounded(who: Answering, cells: AnyCells, state: AnyState, t: Trains, k_draw: Key, k_noise: Key) -> AnyState:
        return who.exactly(cells, state, t, k_draw, k_noise, most)

    return jax.jvp(bounded, primals, tangents)
